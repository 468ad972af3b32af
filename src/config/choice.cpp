#include "knlp/config/overrides.h"
#include "knlp/config/schema.h"

#include "knlp/core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace knlp::config {
namespace {

/// Length of what all members begin with, up to an underscore: BUILD_RELEASE and
/// BUILD_RELWITHDEBINFO share BUILD_. A single member is told apart by its last word.
size_t common_length(const ChoiceInfo& choice) {
    const std::string_view first = choice.members.front();
    size_t length = first.size();
    for (const std::string_view member : choice.members) {
        const auto differs =
            std::mismatch(first.begin(), first.end(), member.begin(), member.end());
        length = std::min<size_t>(length, differs.first - first.begin());
    }
    const size_t underscore = first.substr(0, length).rfind('_');
    return underscore == std::string_view::npos ? 0 : underscore + 1;
}

std::string lower(std::string_view text) {
    std::string lowered(text);
    for (char& c : lowered) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return lowered;
}

}  // namespace

const ChoiceInfo* find_choice(std::string_view name) {
    if (name.starts_with("CONFIG_")) name.remove_prefix(7);
    if (find_symbol(name)) return nullptr;
    for (const ChoiceInfo& choice : choices())
        if (choice.name == name) return &choice;
    return nullptr;
}

std::string member_meant(const ChoiceInfo& choice, std::string_view value,
                         const std::string& where) {
    const size_t common = common_length(choice);
    std::vector<std::string> words;
    for (const std::string_view member : choice.members) {
        words.push_back(lower(member.substr(common)));
        if (value == member || lower(value) == words.back()) return std::string(member);
    }
    fail_code(kConfig, "E_TYPE", "{}: {}={} is no member of that choice; write one of {}{}", where,
              choice.name, value, fmt::join(words, ", "), did_you_mean(value, words));
}

}  // namespace knlp::config
