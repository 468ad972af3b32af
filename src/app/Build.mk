list-y := main.o options.o
