#include "knlp/optim/optimizer.h"
#include "parameters.h"

#include <gtest/gtest.h>

namespace {

using namespace knlp;

TEST(ParameterGroups, CountTensorsAndElementsOfEach) {
    const auto parameters = test::make_parameters({10, 3, 20});
    const auto groups = optim::parameter_groups(parameters, 0.1);
    ASSERT_EQ(groups.size(), 2u);
    EXPECT_EQ(groups[0].tensors, 2);
    EXPECT_EQ(groups[0].elements, 30);
    EXPECT_DOUBLE_EQ(groups[0].weight_decay, 0.1);
    EXPECT_EQ(groups[1].tensors, 1);
    EXPECT_EQ(groups[1].elements, 3);
    EXPECT_DOUBLE_EQ(groups[1].weight_decay, 0.0);
}

TEST(ParameterGroups, TiedTensorIsCountedOnce) {
    auto parameters = test::make_parameters({10, 3});
    parameters.push_back({{.name = "tied", .shape = {10}, .decay = false}, parameters[0].value});
    const auto groups = optim::parameter_groups(parameters, 0.1);
    EXPECT_EQ(groups[0].tensors + groups[1].tensors, 2);
    EXPECT_EQ(groups[0].elements + groups[1].elements, 13);
}

TEST(ParameterGroups, OnlyDecayedParametersShrinkWithoutGradientSignal) {
    auto parameters = test::make_parameters({4, 4});
    const at::Tensor first = parameters[0].value.detach().clone(),
                     second = parameters[1].value.detach().clone();
    config::Optimizer o;
    o.weight_decay = 0.5;
    auto optimizer = optim::optimizer_type("adamw").make(o, parameters);
    for (auto& parameter : parameters) parameter.value.mutable_grad() = at::zeros({4});
    optimizer->step(0.1);
    EXPECT_LT(test::largest_difference(parameters[0].value, first * 0.95), 1e-6);
    EXPECT_TRUE(at::equal(parameters[1].value.detach(), second));
}

}  // namespace
