// The LSTM with a fifth gate against golden/reinstatement_cell.json, and the memory that feeds it
// against golden/reinstatement_memory.json.
#include "common/cell_memory.h"
#include "kernels/lstm_sequence.h"
#include "tests/golden.h"

namespace mentor::kernels::TEST_FILE {

using namespace mentor::testing;
using torch::Tensor;

TEST_CASE("golden: the cell with a reinstatement gate and its gradient") {
  const Json file = ReadGolden("reinstatement_cell");
  const Tolerance tolerance = GoldenTolerance(file);
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Json &want = test.at("expected"), &weights = test.at("weights");
    const auto weight = [&](const char* name) {
      return ToTensor(weights.at(name)).requires_grad_(true);
    };
    const Tensor w_ih = weight("lstm.W_ih"), w_hh = weight("lstm.W_hh"), b_ih = weight("lstm.b_ih"),
                 b_hh = weight("lstm.b_hh");
    const Tensor memory = ToTensor(test.at("memory")).unsqueeze(1);  // [t, 1, H]
    const LstmEpisodes episodes{.reinstated =
                                    test.at("squash").get<bool>() ? memory.tanh() : memory};
    const Tensor h0 = ToTensor(test.at("h0")).unsqueeze(0),
                 c0 = ToTensor(test.at("c0")).unsqueeze(0);
    const Tensor gates_x =
        torch::linear(ToTensor(test.at("x")), w_ih, b_ih + b_hh).unsqueeze(1);  // [t, 1, 5 H]
    const LstmStates states = LstmSequence(gates_x, w_hh, h0, c0, episodes);
    CheckNear("h", states.h.squeeze(1).detach(), ToTensor(want.at("h")), tolerance);
    CheckNear("r", states.r.squeeze(1), ToTensor(want.at("r")), tolerance);
    CHECK_FALSE(states.r.requires_grad());

    // Step by step, for the cells in between.
    Tensor h = h0, c = c0;
    for (int64_t t = 0; t < memory.size(0); ++t) {
      const LstmStates now = LstmSequence(gates_x.narrow(0, t, 1).detach(), w_hh.detach(), h, c,
                                          {.reinstated = episodes.reinstated.narrow(0, t, 1)});
      h = now.h[0];
      c = now.final_c;
      CheckNear("c", c[0], ToTensor(want.at("c"))[t], tolerance);
    }

    const Tensor loss = (states.h.squeeze(1) * ToTensor(test.at("cotangent"))).sum();
    const auto gradients = torch::autograd::grad({loss}, {w_ih, w_hh, b_ih, b_hh});
    const Json& grad = want.at("grad");
    CheckNear("gradient of W_ih", gradients[0], ToTensor(grad.at("lstm.W_ih")), tolerance);
    CheckNear("gradient of W_hh", gradients[1], ToTensor(grad.at("lstm.W_hh")), tolerance);
    CheckNear("gradient of b_ih", gradients[2], ToTensor(grad.at("lstm.b_ih")), tolerance);
    CheckNear("gradient of b_hh", gradients[3], ToTensor(grad.at("lstm.b_hh")), tolerance);
  }
}

TEST_CASE("golden: a memory of cells finds the nearest context and the newest of equals") {
  const Json file = ReadGolden("reinstatement_memory");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Tensor contexts = ToTensor(test.at("contexts"), torch::kFloat32);
    const Tensor appended = ToTensor(test.at("appended")), reads = ToTensor(test.at("reads"));
    const Tensor found = ToTensor(test.at("found"));
    CellMemory<double> memory(test.at("radius"), test.at("capacity").get<size_t>());
    const auto context = [&](int64_t e) {
      return std::span(contexts[e].const_data_ptr<float>(), static_cast<size_t>(contexts.size(1)));
    };
    const auto width = static_cast<size_t>(appended.size(1));
    for (int64_t e = 0; e < contexts.size(0); ++e) {
      INFO("episode " << e);
      const std::span<const double> cell = memory.Find(context(e));
      CHECK(cell.size() == (found[e].item<double>() != 0 ? width : 0));
      for (size_t i = 0; i < cell.size(); ++i)
        CHECK(cell[i] == reads[e][static_cast<int64_t>(i)].item<double>());
      memory.Add(context(e), {appended[e].const_data_ptr<double>(), width});
    }
    // Remaining rows are found under their own context, dropped rows are not.
    const Tensor left = ToTensor(test.at("rows_left"));
    CHECK(memory.size() == static_cast<size_t>(left.numel()));
    for (int64_t i = 0; i < left.numel(); ++i) {
      const auto e = left[i].item<int64_t>();
      bool newest = true;
      for (int64_t later = e + 1; later < contexts.size(0); ++later)
        newest = newest && !contexts[later].equal(contexts[e]);
      if (!newest) continue;
      const std::span<const double> cell = memory.Find(context(e));
      REQUIRE(cell.size() == width);
      CHECK(cell[0] == appended[e][0].item<double>());
    }
  }
}

}  // namespace mentor::kernels::TEST_FILE
