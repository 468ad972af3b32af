# What compiling costs: see docs/benchmarks.md, "The build".
##@ Quality
.PHONY: include-cost
include-cost: setup ## the ten objects dearest to compile, and how many files see LibTorch
	+@scripts/include-cost '$(B)/include-cost'
