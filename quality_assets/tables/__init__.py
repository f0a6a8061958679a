"""What builds each table of the warehouse and checks it: the one writer's work. No dagster."""
