#pragma once

#include "session.h"
#include "state.h"

#include "knlp/config/symbols.h"
#include "knlp/track/manifest.h"
#include "knlp/train/trainer.h"

#include <string>
#include <vector>

namespace knlp::train {

/// What a resume changes in a run: for its manifest, and as lines to warn with.
struct Changes {
    track::Manifest::Attempt attempt;
    std::vector<std::string> notes;
};

/// A run that goes on, its newest weights and optimizer state loaded.
struct Resumed {
    Session session;
    RunState state;
    bool from_checkpoint = false;    // else the run begins again
    track::Manifest::Parent parent;  // its path is "" when the run began with fresh weights
    TrainRequest asked;              // with init_from set where the run begins again
    Changes changes;
};

/// Error{kConfig, "E_RESUME_MISMATCH"} when symbols differ from the run's, Error{kData} when its
/// tokens or initial weights do, unless the request allows it; Error{kData} when the checkpoint is
/// of another model.
Resumed resume_session(const config::Symbols& symbols, const TrainRequest& request);

}  // namespace knlp::train
