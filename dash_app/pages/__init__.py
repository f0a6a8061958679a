"""The pages. Each has `build(reader, request)`: it asks `queries`, decides words, and puts `components` together."""
