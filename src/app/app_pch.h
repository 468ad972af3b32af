// Precompiled for the command line, whose every verb declares its options.
#include "src/plain_pch.h"

#include <CLI/CLI.hpp>
