// The kernels of lstm_engine_phases.h for a device.
#include "kernels/optimizer_phases.h"
#include "kernels/product_phases.h"
#include "kernels/run_phases.cuh"
#include "signals/lstm/lstm_piece_phases.h"
#include "signals/lstm/lstm_run_phases.h"

namespace mentor::learner {

template DeviceKernel DeviceKernelOf<LstmRunKernel<float, FixedLstmSizes<4>>>();
template DeviceKernel DeviceKernelOf<LstmRunKernel<float, FixedLstmSizes<5>>>();
template DeviceKernel DeviceKernelOf<LstmRunKernel<float, LstmSizes>>();
template DeviceKernel DeviceKernelOf<CellsForwardKernel<float, FixedLstmSizes<4>>>();
template DeviceKernel DeviceKernelOf<CellsForwardKernel<float, FixedLstmSizes<5>>>();
template DeviceKernel DeviceKernelOf<CellsForwardKernel<float, LstmSizes>>();
template DeviceKernel DeviceKernelOf<CellsBackwardKernel<float, FixedLstmSizes<4>>>();
template DeviceKernel DeviceKernelOf<CellsBackwardKernel<float, FixedLstmSizes<5>>>();
template DeviceKernel DeviceKernelOf<CellsBackwardKernel<float, LstmSizes>>();

template DeviceKernel DeviceKernelOf<ProductKernel<float>>();
template DeviceKernel DeviceKernelOf<RowDotsKernel<float>>();
template DeviceKernel DeviceKernelOf<ColumnSumsKernel<float>>();
template DeviceKernel DeviceKernelOf<NormKernel<float>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<GatherFeatures<float>>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<StepLoss<float>>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<SumTerms>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<OutputsBackward<float>>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<SumGroups<float>>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<AddTo<float>>>();
template DeviceKernel DeviceKernelOf<ForEachKernel<ClippedAdam<float>>>();

}  // namespace mentor::learner
