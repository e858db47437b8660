// The kernels of phase_trainer.h for a device.
#include "agents/ppo_step.h"
#include "agents/ppo_values.h"
#include "kernels/run_phases.cuh"

namespace mentor::learner {

template DeviceKernel DeviceKernelOf<PpoEpoch<float, CommonPpoSizes, 2>>();
template DeviceKernel DeviceKernelOf<PpoEpoch<float, CommonPpoSizes, 1>>();
template DeviceKernel DeviceKernelOf<PpoEpoch<float, SharedPpoSizes, 2>>();
template DeviceKernel DeviceKernelOf<PpoEpoch<float, SharedPpoSizes, 1>>();
template DeviceKernel DeviceKernelOf<PpoEpoch<float, AnyPpoSizes, 1>>();
template DeviceKernel DeviceKernelOf<PpoValues<float, CommonPpoSizes>>();
template DeviceKernel DeviceKernelOf<PpoValues<float, SharedPpoSizes>>();
template DeviceKernel DeviceKernelOf<PpoValues<float, AnyPpoSizes>>();

}  // namespace mentor::learner
