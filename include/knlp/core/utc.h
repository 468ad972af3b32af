#pragma once

#include <string>

namespace knlp {

/// utc_now() (core/host.h) of so many seconds ago; such texts compare as the times do.
std::string utc_before(double seconds);

}  // namespace knlp
