#include "meta_learner/store/state.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;

//   from        to            by
//   -           QUEUED        Create, Clone
//   QUEUED      RUNNING       scheduler
//   QUEUED      PAUSED        user, or its owner's storage quota
//   QUEUED      CANCELLED     user
//   QUEUED      FAILED        its deadline
//   RUNNING     PAUSING       user, or its owner's storage quota
//   RUNNING     PAUSED        no room on the disk
//   RUNNING     CANCELLING    user
//   RUNNING     QUEUED        a higher class takes its place, or it failed and is tried again
//   RUNNING     SUCCEEDED     all work done
//   RUNNING     FAILED        an error that time does not cure, or its deadline
//   PAUSING     PAUSED        scheduler
//   PAUSING     CANCELLING    user
//   PAUSING     SUCCEEDED     the work was done before the pause arrived
//   PAUSING     FAILED        it failed before the pause arrived
//   PAUSED      QUEUED        user, room on the disk, or room in its owner's storage quota
//   PAUSED      CANCELLED     user
//   PAUSED      FAILED        its deadline
//   CANCELLING  CANCELLED     scheduler
//   CANCELLING  SUCCEEDED     the work was done before the cancellation arrived
//   CANCELLING  FAILED        it failed before the cancellation arrived
constexpr std::array<std::pair<State, State>, 20> kTransitions = {{
    {S::STATE_QUEUED, S::STATE_RUNNING},       {S::STATE_QUEUED, S::STATE_PAUSED},
    {S::STATE_QUEUED, S::STATE_CANCELLED},     {S::STATE_QUEUED, S::STATE_FAILED},
    {S::STATE_RUNNING, S::STATE_PAUSING},      {S::STATE_RUNNING, S::STATE_CANCELLING},
    {S::STATE_RUNNING, S::STATE_QUEUED},       {S::STATE_RUNNING, S::STATE_SUCCEEDED},
    {S::STATE_RUNNING, S::STATE_FAILED},       {S::STATE_PAUSING, S::STATE_PAUSED},
    {S::STATE_PAUSING, S::STATE_CANCELLING},   {S::STATE_PAUSING, S::STATE_SUCCEEDED},
    {S::STATE_PAUSING, S::STATE_FAILED},       {S::STATE_PAUSED, S::STATE_QUEUED},
    {S::STATE_PAUSED, S::STATE_CANCELLED},     {S::STATE_PAUSED, S::STATE_FAILED},
    {S::STATE_CANCELLING, S::STATE_CANCELLED}, {S::STATE_CANCELLING, S::STATE_SUCCEEDED},
    {S::STATE_CANCELLING, S::STATE_FAILED},    {S::STATE_RUNNING, S::STATE_PAUSED},
}};

}  // namespace

bool IsLegalTransition(State from, State to) {
  return std::find(kTransitions.begin(), kTransitions.end(), std::pair(from, to)) !=
         kTransitions.end();
}

}  // namespace mentor::meta_learner
