# `make help`: targets and variables with their `##` texts, under the last `##@` heading before them.
function line(name, text) { printf "  %-22s %s\n", name, text }
function heading() {
    if (group == "" || printed == group) return
    printf "%s%s\n", (printed == "" ? "" : "\n"), group
    printed = group
}
FNR == 1 { group = "Build" }
/^##@ / { group = substr($0, 5); next }
/^[a-z][a-zA-Z0-9_%-]*:.* ## / && (only == "" || group == only) {
    target = $0; sub(/:.*/, "", target); sub(/%/, "NAME", target)
    text = $0; sub(/^.* ## /, "", text)
    heading()
    line(target, text)
}
/^known-variables \+= .* ## / {
    names = $0; sub(/^known-variables \+= */, "", names); sub(/ *## .*/, "", names); gsub(/ +/, "=, ", names)
    text = $0; sub(/^.* ## /, "", text)
    group = "Variables"
    heading()
    line(names "=", text)
}
END {
    if (only == "") exit
    print "\nA preset is loaded with make defconfig-NAME; make menuconfig changes what it set; make builds"
    print "and runs. A preset or .config that asks for something it would not get is refused, with the"
    print "line and the fix, and the .config before it stays. For one run, make SET=\"SYMBOL=value\" or"
    print "./knlp train --set SYMBOL=value change a value without touching .config. Every symbol is"
    print "described in docs/config-reference.md and by ./knlp config explain SYMBOL."
}
