// Loss and every gradient against PyTorch's autograd on an independent model
// (scripts/peers/gradients.py).

#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/rng.h"
#include "knlp/core/safetensors.h"
#include "knlp/model/parameter.h"
#include "knlp/model/weights.h"
#include "tests/support/public_data.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"
#include "tests/use/toy_model.h"

#include <nlohmann/json.hpp>

namespace knlp::model {
namespace {

struct Batch {
    std::vector<std::vector<int64_t>> ids, targets;

    Batch(int64_t rows, int64_t length, int64_t vocab_size) {
        const Stream stream(9, "batch");
        uint64_t index = 0;
        for (int64_t row = 0; row < rows; ++row) {
            ids.emplace_back();
            targets.emplace_back();
            for (int64_t t = 0; t < length; ++t) {
                ids.back().push_back(
                    static_cast<int64_t>(stream.below(static_cast<uint64_t>(vocab_size), index++)));
                targets.back().push_back(
                    static_cast<int64_t>(stream.below(static_cast<uint64_t>(vocab_size), index++)));
            }
        }
        targets[0][2] = targets[1][0] = -1;
    }
};

at::Tensor tensor_of(const std::vector<std::vector<int64_t>>& rows) {
    std::vector<int64_t> flat;
    for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    return at::tensor(flat, at::kLong).view({std::ssize(rows), -1});
}

at::Tensor tensor_of(const TensorView& view) {
    return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, at::kFloat).clone();
}

void compare_gradients(const config::Model& config, double spread) {
    test::TempDir dir;
    Gpt2 model = test::toy_model(3, spread, config);
    save_weights(dir.file("model.safetensors"), model, "transformer.", {});
    write_hf_config(dir.path(), model.config(), -1);
    const Batch batch(3, config.n_ctx, config.vocab_size);
    write_file_atomic(dir.file("batch.json"),
                      canonical_json({{"ids", batch.ids}, {"targets", batch.targets}}));
    const std::string source = std::getenv("KNLP_SRC") != nullptr ? std::getenv("KNLP_SRC") : ".";
    const test::Finished peer =
        test::run_program({test::peers_python(), source + "/scripts/peers/gradients.py", dir.path(),
                           dir.file("batch.json"), dir.file("theirs.safetensors")});
    ASSERT_EQ(peer.status, 0) << peer.err;

    ForwardContext context;
    const at::Tensor loss = model.loss(tensor_of(batch.ids), tensor_of(batch.targets), context);
    loss.backward();
    const SafetensorsFile theirs(dir.file("theirs.safetensors"));
    const double their_loss = tensor_of(*theirs.find("loss")).item<double>();
    EXPECT_NEAR(loss.item<double>(), their_loss, 1e-5 * their_loss);
    for (const Parameter& parameter : model.parameters()) {
        const TensorView* view = theirs.find(parameter.spec.name);
        ASSERT_NE(view, nullptr) << parameter.spec.name;
        const at::Tensor wanted = tensor_of(*view);
        const double error = (parameter.value.grad() - wanted).norm().item<double>();
        EXPECT_LE(error, 1e-4 * wanted.norm().item<double>()) << parameter.spec.name;
    }
}

TEST(GradientPeers, LossAndGradientsOfANanoModelAgreeWithPyTorch) {
    KNLP_NEEDS_PEERS();
    compare_gradients(gpt2_preset("nano"), 1);
}

TEST(GradientPeers, LossAndGradientsWithErfGeluAndSpreadWeightsAgreeWithPyTorch) {
    KNLP_NEEDS_PEERS();
    config::Model config = test::toy_config();
    config.gelu = config::Gelu::kErf;
    compare_gradients(config, 4);
}

}  // namespace
}  // namespace knlp::model
