list-y := run_dir.o status.o metrics_log.o manifest.o tensorboard.o index.o
