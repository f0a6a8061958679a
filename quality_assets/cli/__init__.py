"""The `quality` command: a module a kind of command. `main` runs it, `app` is what the commands are registered on."""
