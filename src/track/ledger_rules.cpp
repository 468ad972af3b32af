#include "knlp/track/ledger.h"

#include <nlohmann/json.hpp>

#include "knlp/core/error.h"

namespace knlp::track {
namespace {

using nlohmann::json;

enum Rule : size_t {
    kInvalidated,
    kPublished,
    kUnmeasured,
    kUnfinished,
    kNoPair,
    kNoDifference,
    kLimitedVerdict,
    kVerdict,
    kWithinNoise,
    kInTurns,
    kSingle,
};

constexpr LedgerRule kRules[] = {
    {"invalidated", "INVALIDATED", "a later row names it"},
    {"published", "PUBLISHED_ELSEWHERE", "the figure is another's; its source is given"},
    {"unmeasured", "HYPOTHESIS", "nothing was measured"},
    {"unfinished", "NON_DIAGNOSTIC",
     "the run did not end as done, or the benchmark says that it is not valid"},
    {"no-pair", "NON_DIAGNOSTIC", "a contrast of fewer than two pairs, or without a verdict"},
    {"no-difference", "NEUTRAL", "a contrast whose verdict is that no difference was shown"},
    {"limited-verdict", "SUPPORTED_BUT_LIMITED",
     "better, worse or equivalent, but of two pairs, with dropped seeds, on synthetic or "
     "substitute "
     "data, from a tree with uncommitted changes, or with seeds added or binaries changed after "
     "the "
     "first results"},
    {"verdict", "SUPPORTED",
     "better, worse or equivalent with three pairs or more, and none of that"},
    {"within-noise", "NEUTRAL",
     "a benchmark in turns with rivals; the interval of every ratio holds 1"},
    {"in-turns", "SUPPORTED_BUT_LIMITED",
     "a benchmark in turns with a rival whose ratio's interval leaves 1 out: one machine, one "
     "sitting"},
    {"single", "NON_DIAGNOSTIC", "one run, or a benchmark without a rival's interval"},
};

bool is(const json& object, const char* name, const json& value) {
    const auto found = object.find(name);
    return found != object.end() && *found == value;
}

double number(const json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

Rule contrast_rule(const json& row, const json& facts) {
    const bool shown = is(facts, "verdict", "better") || is(facts, "verdict", "worse") ||
                       is(facts, "verdict", "equivalent");
    const double n = number(row["metrics"], "n");
    if (n < 2) return kNoPair;
    if (is(facts, "verdict", "no difference shown")) return kNoDifference;
    if (!shown) return kNoPair;
    // A revision that is not known counts as one with changes.
    const bool limited = n < 3 || number(row["metrics"], "dropped") > 0 ||
                         is(row, "synthetic", true) || is(row, "substitute", true) ||
                         !is(row, "git_dirty", false) || is(facts, "extended", true) ||
                         is(facts, "drift", true);
    return limited ? kLimitedVerdict : kVerdict;
}

Rule rule_of(const json& row) {
    const json& facts = row["facts"];
    if (is(row, "kind", "published")) return kPublished;
    if (row["metrics"].empty()) return kUnmeasured;
    if (is(facts, "valid", false)) return kUnfinished;
    if (const auto state = facts.find("state"); state != facts.end() && *state != "done")
        return kUnfinished;
    if (is(row, "kind", "contrast")) return contrast_rule(row, facts);
    if (is(facts, "outcome", "within noise")) return kWithinNoise;
    if (is(facts, "outcome", "apart")) return kInTurns;
    return kSingle;
}

}  // namespace

std::span<const LedgerRule> ledger_rules() {
    return kRules;
}

const LedgerRule& classify(const json& row) {
    return kRules[rule_of(row)];
}

}  // namespace knlp::track
