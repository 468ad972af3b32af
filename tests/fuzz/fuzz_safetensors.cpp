#include "fuzz_target.h"
#include "knlp/core/safetensors.h"

KNLP_FUZZ_TARGET(safetensors) {
    const InputFile file(input);
    accept_errors_about_the_file([&] {
        const SafetensorsFile tensors(file.path());
        int64_t sum = 0;
        for (const TensorView& view : tensors.tensors()) {
            // Every byte that is offered lies in the file.
            KNLP_CHECK(view.file_offset >= 8 &&
                       view.file_offset + std::ssize(view.bytes) <= std::ssize(input));
            if (!view.bytes.empty())
                sum += static_cast<int>(view.bytes.front()) + static_cast<int>(view.bytes.back());
            KNLP_CHECK(tensors.find(view.name) == &view);
        }
        KNLP_CHECK(sum >= 0);
    });
}
