#pragma once

#include "knlp/config/model.h"

#include <filesystem>

namespace knlp::train {

/// Which heads a model may start from.
enum class Head { kSame, kAny };  // kAny: an untied head may begin as the embedding it was tied to

/// Error{kData} unless the weights at `path`, of the model `have`, are those of a model like
/// `want`: the fields that differ, the first five tensors with both shapes, the hashes of both
/// models.
void require_same_shape(const std::filesystem::path& path, const config::Model& have,
                        const config::Model& want, Head head);

}  // namespace knlp::train
