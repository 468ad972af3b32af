# The three of `names` closest to `word` by edit distance: awk -v word=… -v names=… -f nearest.awk
function min(a, b) { return a < b ? a : b }
function distance(a, b,    i, j, row, last, now) {
    for (j = 0; j <= length(b); j++) row[j] = j
    for (i = 1; i <= length(a); i++) {
        last = row[0]; row[0] = i
        for (j = 1; j <= length(b); j++) {
            now = row[j]
            row[j] = min(min(row[j] + 1, row[j - 1] + 1), last + (substr(a, i, 1) != substr(b, j, 1)))
            last = now
        }
    }
    return row[length(b)]
}
BEGIN {
    count = split(names, name, " ")
    for (round = 1; round <= 3; round++) {
        best = 0
        for (i = 1; i <= count; i++)
            if (!(i in used) && (!best || distance(word, name[i]) < distance(word, name[best]))) best = i
        if (!best) break
        used[best] = 1
        printf "%s%s", (round == 1 ? "" : round == 3 ? " or " : ", "), name[best]
    }
}
