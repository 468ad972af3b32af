# `make help`: targets and variables with their `##` texts, under the last `##@` heading before them.
# Files come in any order; what a newcomer needs comes first.
function line(name, text) { lines[group] = lines[group] sprintf("  %-22s %s\n", name, text) }
function print_groups(    names, count, i, printed) {
    count = split("Setting up and cleaning|Runs|Data and measuring|Configuration|Build|Quality|Variables", names, "|")
    for (i = 1; i <= count; i++)
        if (names[i] in lines) { printf "%s%s\n%s", (printed++ ? "\n" : ""), names[i], lines[names[i]]; delete lines[names[i]] }
    for (i in lines) { print "make-help: unknown heading " i > "/dev/stderr"; exit 1 }
}
FNR == 1 { group = "Build" }
/^##@ / { group = substr($0, 5); next }
/^[a-z][a-zA-Z0-9_%-]*:.* ## / && (only == "" || group == only) {
    target = $0; sub(/:.*/, "", target); sub(/%/, "NAME", target)
    text = $0; sub(/^.* ## /, "", text)
    line(target, text)
}
/^known-variables \+= .* ## / {
    names = $0; sub(/^known-variables \+= */, "", names); sub(/ *## .*/, "", names); gsub(/ +/, "=, ", names)
    text = $0; sub(/^.* ## /, "", text)
    group = "Variables"
    line(names "=", text)
}
END {
    print_groups()
    if (only == "") exit
    print "\nA preset is loaded with make defconfig-NAME; make menuconfig changes what it set; make builds"
    print "and runs. A preset or .config that asks for something it would not get is refused, with the"
    print "line and the fix, and the .config before it stays. For one run, make SET=\"SYMBOL=value\" or"
    print "./knlp train --set SYMBOL=value change a value without touching .config. Every symbol is"
    print "described in docs/config-reference.md and by ./knlp config explain SYMBOL."
}
