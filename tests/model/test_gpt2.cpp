#include "tests/model/support.h"

#include "knlp/model/runtime.h"

#include <gtest/gtest.h>

#include <cmath>

namespace knlp::model {
namespace {

using test::small_model;
using test::some_ids;

TEST(Gpt2Sizes, CountsAreThoseOfThePublishedTable) {
    struct Row {
        const char* size;
        int64_t parameters, without_positions;
    };
    for (const Row& row : {Row{"nano", 842624, 826240}, Row{"tiny", 45171200, 44646912},
                           Row{"124M", 124439808, 123653376}, Row{"350M", 354823168, 353774592},
                           Row{"774M", 774030080, 772719360}, Row{"1558M", 1557611200, 1555972800}}) {
        const config::Model m = gpt2_preset(row.size);
        EXPECT_EQ(parameter_count(m), row.parameters) << row.size;
        EXPECT_EQ(parameter_count_without_positions(m), row.without_positions) << row.size;
    }
}

TEST(Gpt2, FreshLossIsLogOfVocabulary) {
    for (const char* size : {"nano"}) {
        const config::Model m = gpt2_preset(size);
        Gpt2 model(m, at::kCPU);
        model.initialize(1);
        ForwardContext context;
        const at::Tensor ids = some_ids(4, 64, m.vocab_size), targets = some_ids(4, 64, m.vocab_size, 999);
        const double loss = model.loss(ids, targets, context).item<double>();
        EXPECT_NEAR(loss, std::log(static_cast<double>(m.vocab_size)), 0.15);
    }
}

TEST(Gpt2, EveryParameterReceivesGradient) {
    for (const bool tying : {true, false}) {
        config::Model m = small_model();
        m.weight_tying = tying;
        Gpt2 model(m, at::kCPU);
        model.initialize(3);
        ForwardContext context;
        model.loss(some_ids(2, 12, m.vocab_size), some_ids(2, 12, m.vocab_size, 5), context).backward();
        for (const Parameter& p : model.parameters()) {
            ASSERT_TRUE(p.value.grad().defined()) << p.spec.name;
            EXPECT_GT(p.value.grad().abs().sum().item<double>(), 0.0) << p.spec.name;
        }
    }
}

}  // namespace
}  // namespace knlp::model
