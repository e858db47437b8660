// The kernels of phase_trainer.h for a device.
#include "agents/ppo_step.h"
#include "agents/ppo_values.h"
#include "kernels/run_phases.cuh"

namespace mentor {

template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoEpoch<float, agents::CommonPpoSizes, 2>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoEpoch<float, agents::CommonPpoSizes, 1>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoEpoch<float, agents::SharedPpoSizes, 2>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoEpoch<float, agents::SharedPpoSizes, 1>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoEpoch<float, agents::AnyPpoSizes, 1>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoValues<float, agents::CommonPpoSizes>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoValues<float, agents::SharedPpoSizes>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<agents::PpoValues<float, agents::AnyPpoSizes>>();

}  // namespace mentor
