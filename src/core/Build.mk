# What every module stands on; no LibTorch.
list-y := error.o parse.o text.o file.o piece_writer.o gzip.o archive.o elf.o hash.o sha256_file.o json.o json_class.o safetensors_header.o safetensors.o \
	rng.o half.o stats.o parallel.o cgroup.o host.o utc.o isa.o signals.o log.o memory.o memory_estimate.o staged_directory.o wait_policy.o profile.o program.o
