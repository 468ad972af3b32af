list-y := run_dir.o status.o metrics_log.o recorded.o manifest.o ledger.o ledger_rules.o tensorboard.o index.o system_stats.o system_sampler.o nvml.o rocm_smi.o
