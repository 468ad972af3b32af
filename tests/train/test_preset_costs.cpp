#include "knlp/config/model.h"
#include "knlp/config/symbols.h"
#include "knlp/config/train.h"
#include "src/train/preflight.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

namespace {

using namespace knlp;
using namespace knlp::train;

/// The values that defconfigs/NAME sets; everything else is at its default.
std::map<std::string, std::string> preset_values(const std::string& name) {
    const char* source = std::getenv("KNLP_SRC");
    const std::filesystem::path tree = source && *source ? source : ".";
    std::ifstream file(tree / "defconfigs" / name);
    EXPECT_TRUE(file) << name;
    std::map<std::string, std::string> values;
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("CONFIG_")) continue;
        const size_t equals = line.find('=');
        std::string value = line.substr(equals + 1);
        std::erase(value, '"');
        values[line.substr(7, equals - 7)] = value;
    }
    return values;
}

TEST(PresetCosts, AreThoseOfThePresets) {
    for (const PresetCost& preset : preset_costs()) {
        const auto symbols = config::Symbols::from_values(preset_values(preset.name));
        const config::Model model = config::read_model(symbols);
        const config::Train train = config::read_train(symbols);
        EXPECT_EQ(preset.n_layer, model.n_layer) << preset.name;
        EXPECT_EQ(preset.d_model, model.d_model) << preset.name;
        EXPECT_EQ(preset.n_ctx, model.n_ctx) << preset.name;
        EXPECT_EQ(preset.effective_batch, train.effective_batch) << preset.name;
        if (train.max_iters > 0) {
            EXPECT_EQ(preset.max_iters, train.max_iters) << preset.name;
        }
        EXPECT_EQ(preset.vocab_size, symbols.on("GPT2_TOKENIZER_GPT2") ? 50257
                                     : symbols.on("GPT2_TOKENIZER_BYTE")
                                         ? 257
                                         : symbols.integer("GPT2_BPE_VOCAB"))
            << preset.name;
    }
}

}  // namespace
