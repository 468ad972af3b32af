# The command line: main, options of all verbs, what doctor looks at. Verbs are in commands/.
list-y := main.o parser.o options.o help.o version.o print.o process.o checks.o
