// Precompiled for tests without LibTorch.
#include "src/plain_pch.h"

#include <gmock/gmock-more-matchers.h>
#include <gtest/gtest.h>
