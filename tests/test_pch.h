// Precompiled for tests without LibTorch.
#include "src/plain_pch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
