// The kernels of lstm_engine_phases.h for a device.
#include "kernels/optimizer_phases.h"
#include "kernels/product_phases.h"
#include "kernels/run_phases.cuh"
#include "signals/lstm/lstm_piece_phases.h"
#include "signals/lstm/lstm_run_phases.h"

namespace mentor {

template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::LstmRunKernel<float, kernels::FixedLstmSizes<4>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::LstmRunKernel<float, kernels::FixedLstmSizes<5>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::LstmRunKernel<float, kernels::LstmSizes>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::CellsForwardKernel<float, kernels::FixedLstmSizes<4>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::CellsForwardKernel<float, kernels::FixedLstmSizes<5>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::CellsForwardKernel<float, kernels::LstmSizes>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::CellsBackwardKernel<float, kernels::FixedLstmSizes<4>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::CellsBackwardKernel<float, kernels::FixedLstmSizes<5>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<signals::CellsBackwardKernel<float, kernels::LstmSizes>>();

template kernels::DeviceKernel kernels::DeviceKernelOf<kernels::ProductKernel<float>>();
template kernels::DeviceKernel kernels::DeviceKernelOf<kernels::RowDotsKernel<float>>();
template kernels::DeviceKernel kernels::DeviceKernelOf<kernels::ColumnSumsKernel<float>>();
template kernels::DeviceKernel kernels::DeviceKernelOf<kernels::NormKernel<float>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<kernels::ForEachKernel<signals::GatherFeatures<float>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<kernels::ForEachKernel<signals::StepLoss<float>>>();
template kernels::DeviceKernel kernels::DeviceKernelOf<kernels::ForEachKernel<signals::SumTerms>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<kernels::ForEachKernel<signals::OutputsBackward<float>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<kernels::ForEachKernel<kernels::SumGroups<float>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<kernels::ForEachKernel<kernels::AddTo<float>>>();
template kernels::DeviceKernel
kernels::DeviceKernelOf<kernels::ForEachKernel<kernels::ClippedAdam<float>>>();

}  // namespace mentor
