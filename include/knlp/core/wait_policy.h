#pragma once

namespace knlp {

/// Makes the threads of OpenMP wait for each other in a short loop and then asleep. By default they
/// loop for milliseconds, and when two programs share their cores each loops while the other could
/// work. Nothing is done where the environment says how to wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT).
///
/// The library reads its environment when it is loaded, so the program is started again with the
/// same arguments; does not return then. To be called before there are files or threads.
void wait_briefly(char** argv);

}  // namespace knlp
