#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/matrix.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/matrix/pilot.h"
#include "knlp/matrix/power.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace knlp::app {
namespace {

using nlohmann::json;

constexpr double kSdConfidence = 0.8;

struct Options {
    std::string differences;
    std::vector<std::string> baseline, arm;
    double effect = 0, power = 0.8;
    int64_t contrasts = 1;
    Option effect_given;
};
Options options;

/// Effect, level and power asked for, checked.
struct Wanted {
    double effect, alpha, power;
    double level;  // of one comparison: the strictest step of Holm's procedure
};

Wanted wanted(const Common& common) {
    const config::Matrix matrix = config::read_matrix(load_symbols_or_defaults(common));
    const double effect = options.effect_given.given() ? options.effect : matrix.min_effect;
    if (!options.effect_given.given() && effect == 0)
        fail(kUsage, "no effect to look for: give --effect X, or set MATRIX_MIN_EFFECT above 0");
    if (!(std::isfinite(effect) && effect != 0))
        fail(kUsage, "--effect {}: a number other than 0 is wanted, in the unit of the differences",
             effect);
    if (!(options.power > matrix.alpha && options.power < 1))
        fail(kUsage, "--power {} is outside ({}, 1), from MATRIX_ALPHA up", options.power,
             matrix.alpha);
    return {std::abs(effect), matrix.alpha, options.power,
            matrix.alpha / static_cast<double>(options.contrasts)};
}

matrix::Pilot pilot() {
    const bool runs = !options.baseline.empty() || !options.arm.empty();
    if (runs == !options.differences.empty())
        fail(kUsage,
             "give a pilot: --differences FILE, or --baseline RUN and --arm RUN for each "
             "seed");
    if (!runs) return matrix::read_pilot(options.differences);
    if (options.baseline.empty() || options.arm.empty())
        fail(kUsage, "a pilot from runs needs both --baseline RUN and --arm RUN");
    return matrix::pilot_of_runs(options.baseline, options.arm);
}

/// Seeds for a standard deviation of the differences; n = 0 when kMaxSeeds are not enough.
struct Need {
    double sd;
    int64_t n;
    double power;  // reached by n seeds
};

Need need_for(double sd, const Wanted& want) {
    const double effect = want.effect / sd;
    if (!(effect > 0 && std::isfinite(effect)))
        fail(kUsage, "an effect of {} and a standard deviation of {} cannot be compared",
             want.effect, sd);
    const int64_t n = matrix::seeds_needed(effect, want.level, want.power);
    return {sd, n, n > 0 ? matrix::verdict_power(n, effect, want.level) : 0};
}

json json_of(const Need& need) {
    return {{"sd", need.sd},
            {"seeds", need.n > 0 ? json(need.n) : json()},
            {"power", need.n > 0 ? json(need.power) : json()}};
}

std::string text_of(const Need& need) {
    if (need.n == 0) return fmt::format("more than {}", matrix::kMaxSeeds);
    return fmt::format("{} (power {:.2f})", need.n, need.power);
}

json dropped_json(const std::vector<matrix::Dropped>& dropped) {
    json rows = json::array();
    for (const matrix::Dropped& d : dropped) rows.push_back({{"seed", d.seed}, {"why", d.why}});
    return rows;
}

void print_text(const matrix::Pilot& pilot, const Wanted& want, const Need& need,
                const Need& careful) {
    put_text(fmt::format("{:<12}{} differences, mean {:.4g}, standard deviation {:.4g}\n", "pilot",
                         pilot.differences.size(), pilot.mean, pilot.sd));
    put_text(fmt::format("{:<12}effect {:.4g}, power {:.4g}, alpha {:.4g}, {} comparison{}\n",
                         "wanted", want.effect, want.power, want.alpha, options.contrasts,
                         options.contrasts == 1 ? "" : "s"));
    put_text(fmt::format("{:<12}{}\n", "seeds", text_of(need)));
    put_text(fmt::format(
        "{:<12}{}, should the standard deviation be {:.4g}, its upper bound with {:.0f} % "
        "confidence\n",
        "carefully", text_of(careful), careful.sd, 100 * kSdConfidence));
}

int power(const Common& common) {
    const Wanted want = wanted(common);
    const matrix::Pilot pilot = app::pilot();
    for (const matrix::Dropped& d : pilot.dropped)
        log::warn("seed {} is left out: {}", d.seed, d.why);
    const Need need = need_for(pilot.sd, want);
    const Need careful =
        need_for(matrix::upper_sd(pilot.sd, std::ssize(pilot.differences), kSdConfidence), want);
    if (!common.json) {
        print_text(pilot, want, need, careful);
        return 0;
    }
    const json result = {{"alpha", want.alpha},
                         {"contrasts", options.contrasts},
                         {"effect", want.effect},
                         {"power", want.power},
                         {"pilot",
                          {{"differences", pilot.differences},
                           {"dropped", dropped_json(pilot.dropped)},
                           {"mean", pilot.mean},
                           {"n", pilot.differences.size()},
                           {"sd", pilot.sd}}},
                         {"needed", json_of(need)},
                         {"needed_carefully", json_of(careful)}};
    put_text(canonical_json(result) + "\n");
    return 0;
}

}  // namespace

MatrixVerb add_matrix_power(Parser matrix) {
    options = {};
    Parser sub = matrix.add_subcommand("power", "seeds that a given effect needs, from a pilot");
    sub.add_option("--differences", options.differences,
                   "pilot: arm minus baseline, one difference a line")
        .type_name("FILE");
    sub.add_option("--baseline", options.baseline,
                   "pilot: a finished run of the baseline (repeatable)")
        .one_at_a_time()
        .type_name("RUN");
    sub.add_option("--arm", options.arm, "pilot: a finished run of the arm (repeatable)")
        .one_at_a_time()
        .type_name("RUN");
    options.effect_given =
        sub.add_option("--effect", options.effect,
                       "mean difference to be found (default: MATRIX_MIN_EFFECT)")
            .type_name("X");
    sub.add_option("--power", options.power, "chance of finding it (default: 0.8)").type_name("P");
    sub.add_option("--contrasts", options.contrasts,
                   "arms that are compared with the baseline (default: 1)")
        .in_range(1, 10000)
        .type_name("N");
    return {.parser = sub, .run = power, .prints_result = true};
}

}  // namespace knlp::app
