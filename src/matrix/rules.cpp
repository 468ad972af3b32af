// Which combinations of axis values make no arm, one row each. Rules speak of axes by name: one
// that is not there never breaks a rule. R7, duplicates collapse, is expand.cpp's.

#include "rules.h"

#include "decimal.h"

#include "knlp/core/error.h"

#include <algorithm>

namespace knlp::matrix {
namespace {

constexpr const char* kPrune = "adamw_prune";

bool has(const Combination& c, std::string_view axis) {
    const std::string label = c.label(axis);
    return !label.empty() && label != kIdle;
}

/// Why it is no arm, "" when it may be one.
std::string prune_takes_its_own_method(Combination& c, bool&) {
    const std::string method = c.label("pruning");
    if (c.label("optimizer") != kPrune || !has(c, "pruning")) return "";
    if (method == "none" || method == "state") return "";
    return fmt::format("{} prunes by its own state or not at all, not by {}", kPrune, method);
}

std::string state_needs_prune(Combination& c, bool&) {
    if (c.label("pruning") != "state" || !has(c, "optimizer")) return "";
    if (c.label("optimizer") == kPrune) return "";
    return fmt::format("state pruning needs {}, not {}", kPrune, c.label("optimizer"));
}

std::string none_is_dense(Combination& c, bool& idled) {
    if (c.label("pruning") != "none") return "";
    const bool sparsity = c.make_idle("sparsity"), variant = c.make_idle("variant");
    idled = sparsity || variant;
    return "";
}

std::string variants_are_of_prune(Combination& c, bool& idled) {
    if (has(c, "optimizer") && c.label("optimizer") != kPrune) idled = c.make_idle("variant");
    return "";
}

std::string attention_is_of_gpt2(Combination& c, bool& idled) {
    if (has(c, "model") && c.label("model") != "gpt2") idled = c.make_idle("attention");
    return "";
}

std::string tokenizers_are_of_images(Combination& c, bool& idled) {
    const std::string model = c.label("model");
    if (has(c, "model") && model != "lenet5" && model != "resnet50")
        idled = c.make_idle("tokenizer");
    return "";
}

struct Rule {
    const char* name;
    std::string (*apply)(Combination& combination, bool& idled);
};

constexpr Rule kRules[] = {{"R1", prune_takes_its_own_method},
                           {"R2", state_needs_prune},
                           {"R3", none_is_dense},
                           {"R4", variants_are_of_prune},
                           {"R5", attention_is_of_gpt2},
                           {"R6", tokenizers_are_of_images}};

}  // namespace

std::string Combination::label(std::string_view axis) const {
    const auto found = std::find(axes_.begin(), axes_.end(), axis);
    return found == axes_.end() ? "" : labels_[static_cast<size_t>(found - axes_.begin())];
}

bool Combination::make_idle(std::string_view axis) {
    const auto found = std::find(axes_.begin(), axes_.end(), axis);
    if (found == axes_.end()) return false;
    std::string& label = labels_[static_cast<size_t>(found - axes_.begin())];
    if (label == kIdle) return false;
    label = std::string(kIdle);
    return true;
}

Ruling apply_rules(Combination& combination, std::vector<std::string>& idled_by) {
    for (const Rule& rule : kRules) {
        bool idled = false;
        const std::string why = rule.apply(combination, idled);
        if (!why.empty()) return {rule.name, why};
        if (idled) idled_by.push_back(rule.name);
    }
    return {};
}

std::string sparsity_label(std::string_view share) {
    constexpr int64_t kDecimals = 5;  // of a share: three of a percent
    const auto number = parse_decimal(share);
    if (!number || number->digits < 0 || number->decimals > kDecimals)
        fail(kUsage, "sparsity '{}': a share from 0 to below 1 with at most {} decimals is wanted",
             share, kDecimals);
    int64_t thousandths = number->digits;  // of a percent
    for (int64_t i = number->decimals; i < kDecimals; ++i) thousandths *= 10;
    if (thousandths >= 100'000) fail(kUsage, "sparsity '{}': it must be below 1", share);
    std::string text = decimal_text({thousandths, 3});
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    std::replace(text.begin(), text.end(), '.', 'p');
    return text;
}

}  // namespace knlp::matrix
