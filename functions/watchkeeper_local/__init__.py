"""The pipeline on one machine: broker, durable stream, tables, workers, API and the command line."""
