"""Events as they are sent over HTTP: what a message means, and features of users that are known in milliseconds."""
