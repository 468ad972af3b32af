#include "chain.h"

#include "parts.h"

#include "knlp/core/error.h"

#include <exception>

namespace knlp::model {

namespace {

profile::Group group_of(Place place) {
    if (place.site == ProductSite::kHead) return profile::Group::kHead;
    switch (place.kind) {
        case ProductKind::kForward:
            return profile::Group::kLinearForward;
        case ProductKind::kInput:
            return profile::Group::kLinearInput;
        case ProductKind::kWeight:
            break;
    }
    return profile::Group::kLinearWeight;
}

bool native(Place place) {
    return routes().at[index_of(place)] == Route::kNative;
}

}  // namespace

Chain::~Chain() noexcept(false) {
    if (std::uncaught_exceptions() == 0) run();
}

void Chain::product(Place place, const char* name, const kernels::GemmArgs& args) {
    Step step{.label = {.group = group_of(place),
                        .name = name,
                        .flops = flops_of(args),
                        .bytes = bytes_of(args)},
              .count = args.m,
              .place = place,
              .args = args};
    if (sharing_ != Sharing::kSteps && native(place))
        return add(std::move(step), kernels::gemm_workspace_bytes());
    KNLP_CHECK(sharing_ != Sharing::kSequences);
    // A library starts threads of its own, so it is called from outside.
    const profile::Scope scope(step.label.group, step.label.flops, step.label.bytes, name);
    gemm(place, args);
}

void Chain::range(const Label& label, int64_t count, int64_t unit, Work work,
                  int64_t scratch_bytes) {
    add({.label = label, .count = count, .unit = unit, .work = std::move(work)}, scratch_bytes);
    if (sharing_ == Sharing::kSteps) run();
}

void Chain::add(Step step, int64_t scratch_bytes) {
    scratch_bytes_ = std::max(scratch_bytes_, scratch_bytes);
    steps_.push_back(std::move(step));
}

void Chain::do_part(const Step& step, int64_t part) const {
    const profile::Scope scope(step.label.group, step.label.flops, step.label.bytes,
                               step.label.name);
    int64_t first = 0, last = 0;
    if (sharing_ == Sharing::kSequences) {
        const int64_t a_sequence = step.count / sequences_;
        first = share(step.count, a_sequence, part, parts_);
        last = share(step.count, a_sequence, part + 1, parts_);
    } else {
        first = share(step.count, step.unit, part, parts_);
        last = share(step.count, step.unit, part + 1, parts_);
    }
    std::byte* scratch = scratch_of(part);
    if (step.work)
        step.work({.first = first, .last = last, .part = part, .scratch = scratch});
    else if (sharing_ == Sharing::kSequences)
        gemm_part(rows_of(step.args, first, last), 0, 1, scratch);
    else
        gemm_part(step.args, part, parts_, scratch);
}

void Chain::run() {
    if (steps_.empty()) return;
    reserve_scratch(parts_, scratch_bytes_);
    run_parts(parts_, [&](int64_t part) {
        for (const Step& step : steps_) do_part(step, part);
    });
    steps_.clear();
}

}  // namespace knlp::model
