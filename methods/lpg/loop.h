// Settings of the agents of rule lpg, which the rule reads too.
#pragma once

#include "common/options.h"
#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"
#include "methods/lpg/update.h"

namespace mentor::methods {

// The options must be within their ranges.
LpgConfig ReadLpg(const OptionValues& options, const v1::ExperimentSpec& spec,
                  const v1::EnvironmentShape& environment);

}  // namespace mentor::methods
