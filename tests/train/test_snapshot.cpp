#include "src/train/snapshot.h"

#include "tiny_run.h"

#include "knlp/config/train.h"
#include "knlp/core/hash.h"
#include "knlp/model/attention.h"
#include "knlp/model/parameter.h"
#include "knlp/model/runtime.h"

#include <gtest/gtest.h>

namespace {

using namespace knlp;
namespace fs = std::filesystem;

/// A model with padded vocabulary rows and turned matrices, and an optimizer that has taken a step.
struct Trained {
    std::unique_ptr<model::Gpt2> gpt2;
    std::unique_ptr<optim::Optimizer> optimizer;

    Trained() {
        model::start_runtime({.threads = 1});
        config::Model shape;
        shape.n_layer = 2;
        shape.n_head = 2;
        shape.d_model = 40;  // no multiple of the squares that matrices are turned in
        shape.n_ctx = 16;
        shape.vocab_size = 257;
        shape.pad_vocab = 64;
        gpt2 = std::make_unique<model::Gpt2>(shape);
        gpt2->initialize(1);
        optimizer = optim::optimizer_type("adamw").make({}, gpt2->parameters());
        step();
    }
    void step() {
        for (model::Parameter& parameter : gpt2->parameters())
            parameter.value.mutable_grad() = at::ones_like(parameter.value);
        optimizer->step(1e-2);
    }
};

TEST(Snapshot, HoldsWhatWasThereWhenItWasTakenAndWritesTheSameBytes) {
    Trained trained;
    test::TempDir directory;
    fs::create_directory(directory.file("now"));
    fs::create_directory(directory.file("later"));
    const auto snapshot = train::Snapshot::take(*trained.gpt2, *trained.optimizer, "adamw");
    ASSERT_NE(snapshot, nullptr);
    const train::KnownHashes now =
        train::write_tensors(directory.file("now"), *trained.gpt2, *trained.optimizer, "adamw");
    const std::string scalars = trained.optimizer->scalars();
    trained.step();
    ASSERT_NE(trained.optimizer->scalars(), scalars);
    EXPECT_EQ(snapshot->write(directory.file("later")), now);
    for (const char* name : {"model.safetensors", "optim.safetensors"}) {
        EXPECT_TRUE(test::same_bytes(directory.file("now") / name, directory.file("later") / name))
            << name;
        EXPECT_EQ(now.at(name), xxh3_file(directory.file("later") / name)) << name;
    }
}

}  // namespace
