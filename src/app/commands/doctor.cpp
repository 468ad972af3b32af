#include "src/app/checks.h"
#include "src/app/parser.h"

#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace knlp::app {
namespace {

struct Word {
    const char* text;
    const char* color;
};

Word word_of(Check::State state) {
    switch (state) {
        case Check::State::kOk:
            return {"ok", "\033[32m"};
        case Check::State::kNote:
            return {"note", "\033[33m"};
        case Check::State::kMissing:
            return {"missing", "\033[31m"};
    }
    return {"", ""};
}

struct Group {
    const char* title;
    std::vector<Check> checks;
};

void print_text(const std::vector<Group>& groups, bool ready) {
    const bool color = log::use_color(1);
    for (const Group& group : groups) {
        std::fputs(fmt::format("{}\n", group.title).c_str(), stdout);
        for (const Check& check : group.checks) {
            const Word word = word_of(check.state);
            std::fputs(fmt::format("  {}{:<8}{}{:<22} {}\n", color ? word.color : "", word.text,
                                   color ? "\033[0m" : "", check.name, check.found)
                           .c_str(),
                       stdout);
            if (!check.fix.empty())
                std::fputs(fmt::format("{:33}fix: {}\n", "", check.fix).c_str(), stdout);
        }
    }
    std::fputs(ready ? "ready\n" : "not ready: see the lines marked missing\n", stdout);
}

void print_json(const std::vector<Group>& groups, bool ready) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Group& group : groups)
        for (const Check& check : group.checks)
            rows.push_back({{"group", group.title},
                            {"name", check.name},
                            {"state", word_of(check.state).text},
                            {"found", check.found},
                            {"fix", check.fix},
                            {"required", check.required}});
    std::fputs((canonical_json({{"ready", ready}, {"checks", rows}}) + "\n").c_str(), stdout);
}

int run(const Common& common) {
    const std::vector<Group> groups = {{"Tools", check_tools()},
                                       {"Libraries", check_libraries()},
                                       {"Machine", check_machine()},
                                       {"Project", check_project(common)}};
    bool ready = true;
    for (const Group& group : groups)
        for (const Check& check : group.checks)
            ready = ready && !(check.required && check.state == Check::State::kMissing);
    if (common.json)
        print_json(groups, ready);
    else
        print_text(groups, ready);
    return ready ? 0 : 1;
}

std::function<int(const Common&)> add_options(Parser) {
    return run;
}

}  // namespace

extern const Command cmd_doctor;
const Command cmd_doctor = {
    .name = "doctor",
    .summary = "look for what is missing or odd, and name the command that fixes it",
    .needs = "",
    .add_options = add_options,
    .examples = "knlp doctor\nknlp doctor --json",
    .prints_result = true};

}  // namespace knlp::app
