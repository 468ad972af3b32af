#include "src/config/dot_config.h"
#include "src/config/evaluate.h"

#include "knlp/config/symbols.h"
#include "knlp/core/file.h"
#include "knlp/core/parse.h"

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <set>
#include <sstream>

// Our evaluator against kconfig-conf, on random configurations of the project's own tree.
namespace knlp::config {
namespace {

constexpr int kConfigurations = 200;

/// Symbols that rules across symbols constrain; their defaults are kept so that loading is
/// possible.
const std::set<std::string_view> kBoundByRules = {
    "GPT2_N_EMBD",    "GPT2_N_HEAD",    "GPT2_MAX_ITERS",   "GPT2_VOCAB_SIZE",
    "GPT2_PAD_VOCAB", "GPT2_BPE_VOCAB", "SPAM_WARMUP_STEPS"};

class KconfigAgreement : public testing::Test {
protected:
    /// kconfig-conf on the tree, with dir_/config as its .config. Its words on stderr are failures.
    std::string conf(const std::string& mode, bool cuda) {
        const test::Finished done = test::run_program({"kconfig-conf", "-s", mode, "Kconfig"},
                                                      {{"KCONFIG_CONFIG", config()},
                                                       {"KNLP_HAVE_CUDA", cuda ? "y" : "n"},
                                                       {"KCONFIG_SEED", std::to_string(seed_)}});
        EXPECT_EQ(done.status, 0) << mode << done.err;
        return done.out;
    }

    std::string config() const { return dir_.file("config").string(); }

    /// A random .config: bools and choices by kconfig-conf, numbers by us. Half of the lines are
    /// left out, so that defaults are in force, and kconfig-conf completes the file. Gives what it
    /// was given.
    std::vector<Setting> random_config(bool cuda) {
        conf("--randconfig", cuda);
        std::mt19937 random(static_cast<unsigned>(seed_));
        std::string text;
        std::vector<Setting> given;
        for (Setting& setting : settings()) {
            const SymbolInfo& symbol = *find_symbol(setting.name);
            const bool path = setting.name == "GPT2_CUSTOM_DATASET_PATH";
            if (random() % 2 && !path) continue;
            if (symbol.type == SymbolType::kInt && !symbol.ranges.empty() &&
                !kBoundByRules.contains(symbol.name))
                setting.value = std::to_string(random_in(symbol.ranges.front(), random));
            if (setting.name == "SPAM_INTERVAL") setting.value = random() % 2 ? "0" : "100000";
            if (path) setting.value = "text.txt";
            text += dot_config_line(symbol, setting.value) + "\n";
            given.push_back(setting);
        }
        write(text);
        conf("--olddefconfig", cuda);
        return given;
    }

    /// Plain: hundreds of fsyncs would take seconds.
    void write(const std::string& text) const { std::ofstream(config(), std::ios::binary) << text; }

    std::vector<Setting> settings() const {
        return parse_dot_config(read_file(config()), config());
    }

    static int64_t random_in(const SymbolInfo::Range& range, std::mt19937& random) {
        return std::uniform_int_distribution<int64_t>(parse_int(range.low).value(),
                                                      parse_int(range.high).value())(random);
    }

    int seed_ = 0;
    test::TempDir dir_;
};

Values user_values(const std::vector<Setting>& settings) {
    Values user;
    for (const Setting& setting : settings)
        if (setting.value == "y" || find_symbol(setting.name)->choice.empty())
            user[setting.name] = setting.value;
    return user;
}

TEST_F(KconfigAgreement, ValuesAndVisibilityOfRandomConfigurations) {
    for (seed_ = 0; seed_ < kConfigurations; ++seed_) {
        const bool cuda = seed_ % 2;
        SCOPED_TRACE("KCONFIG_SEED=" + std::to_string(seed_));
        Values user = user_values(random_config(cuda));
        user["KNLP_HAVE_CUDA"] = cuda ? "y" : "n";
        Values lines;
        for (const Setting& setting : settings()) lines[setting.name] = setting.value;

        Evaluation ours(built_in_schema(), user);
        for (const SymbolInfo& symbol : symbols()) {
            if (!symbol.env.empty()) continue;
            const auto line = lines.find(symbol.name);
            ASSERT_EQ(ours.of(symbol.name).active, line != lines.end()) << symbol.name;
            if (line == lines.end()) continue;
            ASSERT_EQ(ours.of(symbol.name).value, line->second) << symbol.name;
        }

        // With the minimal file, kconfig-conf lists what the user could still set; what the file
        // sets is visible too. Members of choices are not listed.
        const Symbols loaded = Symbols::load_for_any_build(config());
        conf("--savedefconfig=" + config() + ".min", cuda);
        ASSERT_EQ(loaded.defconfig(), read_file(config() + ".min"));
        write(loaded.defconfig());
        std::set<std::string> visible;
        for (const Setting& setting : settings()) visible.insert(setting.name);
        std::istringstream listed(conf("--listnewconfig", cuda));
        for (std::string name; std::getline(listed, name);) visible.insert(name.substr(7));
        for (const SymbolInfo& symbol : symbols()) {
            if (!symbol.choice.empty()) continue;
            ASSERT_EQ(ours.of(symbol.name).visible, visible.contains(std::string(symbol.name)))
                << symbol.name;
        }
    }
}

TEST_F(KconfigAgreement, LoadedRandomConfigurationKeepsEveryLine) {
    for (seed_ = 1000; seed_ < 1020; ++seed_) {
        SCOPED_TRACE("KCONFIG_SEED=" + std::to_string(seed_));
        random_config(false);
        const std::vector<Setting> file = settings();
        const Symbols loaded = Symbols::load_for_any_build(config());
        for (const Setting& setting : file)
            EXPECT_EQ(loaded.values().at(setting.name), setting.value) << setting.name;
        // Our own file loads to the same again, in kconfig-conf's eyes too.
        write(loaded.dot_config());
        conf("--olddefconfig", false);
        std::vector<std::pair<std::string, std::string>> before, after;
        for (const Setting& setting : file) before.emplace_back(setting.name, setting.value);
        for (const Setting& setting : settings()) after.emplace_back(setting.name, setting.value);
        EXPECT_EQ(before, after);
    }
}

}  // namespace
}  // namespace knlp::config
