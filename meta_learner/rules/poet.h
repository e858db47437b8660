// Paired open-ended trailblazer (Wang et al. 2019; docs/algorithms/poet.md): environments that are
// invented while agents learn in them. The rules of transfer and reproduction as pure functions,
// and the whole algorithm as a sequence of rounds of scores, whatever gives the scores.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include "learner/inner_loops/tensor_map.h"
#include "learner/kernels/optimizer.h"
#include "meta_learner/rules/lineage.h"

namespace mentor::meta_learner {

struct Transfers {
  std::vector<int64_t> source;    // [n]: whose agent a pair goes on with; -1: its own
  std::vector<bool> is_proposal;  // [n]: that agent after its step in this environment
};
// own [n]; recent: the last own scores of each pair, none of a new one; direct and proposal [n, n]:
// score in environment m of agent j as it is, and after one step there. The diagonal is not read.
// An undefined `direct` offers nothing.
Transfers ChooseTransfers(const torch::Tensor& own, const std::vector<std::vector<double>>& recent,
                          const torch::Tensor& direct, const torch::Tensor& proposal);

// Mean distance of each child [c, k] to its nearest of the archive [a, k]: [c] float64.
torch::Tensor Novelty(const torch::Tensor& children, const torch::Tensor& archive,
                      int64_t neighbours);
// Children that are no active environment and in which their parent scores within the bounds.
std::vector<int64_t> PassedChildren(const torch::Tensor& children, const torch::Tensor& active,
                                    const torch::Tensor& scores_of_parent, double mc_low,
                                    double mc_high);
// The passed ones, the most novel first.
std::vector<int64_t> ByNovelty(const std::vector<int64_t>& passed, const torch::Tensor& novelty);
// The first `admit` in order whose best score is within the bounds.
std::vector<int64_t> Admitted(const std::vector<int64_t>& order, const torch::Tensor& best_scores,
                              double mc_low, double mc_high, int64_t admit);

struct PoetConfig {
  torch::Tensor low = {}, high = {};  // [k] float64: bounds of the environments' numbers
  int64_t population = 64;            // Perturbed agents of one step; even.
  double sigma = 0.1, sigma_decay = 0.999, least_sigma = 0.01;
  learner::AdamConfig adam = {.learning_rate = 0.01, .epsilon = 1e-8};
  double rate_decay = 0.9999, least_rate = 0.001;
  // Steps of this length along the gradient in place of Adam's.
  std::optional<double> step_length = std::nullopt;
  int64_t max_active = 20, mutate_every = 150, transfer_every = 25;
  double mc_low = 50, mc_high = 300, reproduce = 200;
  int64_t neighbours = 5, children = 8, admit = 1;
  double mutation = 0.1;  // Greatest change of a number as a share of its range.
  bool direct = true;     // Agents are taken over as they are too, not only after a step.
  // In which order children that passed are looked at.
  std::function<std::vector<int64_t>(const std::vector<int64_t>& passed,
                                     const torch::Tensor& novelty)>
      order = ByNovelty;
};

// Environments with their agents. An update is a few rounds: scores are asked for, received, and
// decide what is asked next. A function of config, seed, first environment and agent, and scores.
// Not thread-safe.
class Poet {
 public:
  // environment [k], agent [P] float32.
  Poet(PoetConfig config, uint64_t seed, const torch::Tensor& environment,
       const torch::Tensor& agent);

  struct Trial {
    int64_t agent = 0;          // Row of agents().
    torch::Tensor environment;  // [k]
    int64_t place = 0;          // Trials of a round with the same one are in the same environment.
  };
  struct Round {
    std::vector<Trial> trials;
    // Agents are tried with perturbations, of which trials 2i and 2i + 1 have one with opposite
    // signs; otherwise they are scored as they are.
    bool perturbed = false;
    uint32_t first_number = 0;  // Even; of the first trial, in the order of all trials ever.
  };
  // What is to be scored next; no trials: the update is done, and `Begin` begins the next.
  const Round& Plan() const { return round_; }
  // [rows, P] float32: the agents that the round's trials name.
  const torch::Tensor& agents() const { return rows_; }
  double sigma() const;
  // Scores of the round's trials, in their order; finite.
  void Receive(const torch::Tensor& scores);
  void Begin();

  // Between updates only.
  learner::TensorMap Save() const;
  absl::Status Load(const learner::TensorMap& state);

  const PoetConfig& config() const { return config_; }
  int64_t num_active() const { return environments_.size(0); }
  uint32_t update() const { return update_; }
  const torch::Tensor& environments() const { return environments_; }  // [n, k] float64
  const torch::Tensor& own_scores() const { return own_; }  // [n]: of the last update; may be none
  int64_t transfers() const { return transfers_; }          // Of this update,
  int64_t admitted() const { return admitted_; }
  const std::optional<double>& novelty() const { return novelty_; }  // of those who were admitted
  std::string Table() const;  // Of what happened to pairs (lineage.h), as CSV.

  // The most trials of a round, and the most rows of agents.
  static int64_t TrialsMax(const PoetConfig& config);
  static int64_t RowsMax(const PoetConfig& config);
  // The most environments that so many updates admit, and those that the archive may have.
  static int64_t ArchiveAfter(const PoetConfig& config, int64_t updates);
  static constexpr int64_t kArchiveMax = 1 << 20;
  static constexpr int64_t kEventColumns = 4;  // Of the lineage, before the environment's.

 private:
  enum class Phase {
    kEvolve,          // One step of every pair.
    kOwn,             // Scores of pairs.
    kDirect,          // Agents in the environments of others,
    kPropose,         // their steps there,
    kProposals,       // and what these achieve.
    kParents,         // Children with their parents' agents,
    kChildren,        // with all agents,
    kChildPropose,    // whose steps there
    kChildProposals,  // achieve so much.
    kDone
  };
  enum class Event { kBorn, kDied, kDirect, kProposal };

  bool transfers_now() const;
  bool reproduces_now() const;
  void Enter(Phase phase);
  Round MakeRound() const;
  // Steps of agents [B, P] by the fitness [B population] of their perturbed ones.
  torch::Tensor Stepped(const torch::Tensor& agents, const torch::Tensor& fitness, torch::Tensor* m,
                        torch::Tensor* v, torch::Tensor* steps) const;
  void KeepScores();
  void TakeTransfers(const torch::Tensor& proposal_scores);
  bool MakeChildren();  // False: nobody may have any.
  void Admit(const torch::Tensor& proposal_scores);
  void Note(Event event, int64_t id, int64_t other, const torch::Tensor& environment);
  torch::Tensor Rows(const std::vector<std::pair<int64_t, int64_t>>& pairs) const;

  // Fixed after construction.
  const PoetConfig config_;
  const uint64_t seed_;
  // State between updates.
  uint32_t update_ = 0;
  uint32_t next_number_ = 0;
  int64_t next_id_ = 0;
  torch::Tensor environments_;               // [n, k] float64; the oldest first
  torch::Tensor theta_;                      // [n, P] float32
  torch::Tensor adam_m_, adam_v_;            // [n, P] float32
  torch::Tensor adam_steps_;                 // [n] int64
  torch::Tensor ids_;                        // [n] int64
  torch::Tensor archive_;                    // [a, k]: all environments that were ever admitted
  std::vector<std::vector<double>> recent_;  // Last own scores.
  Lineage lineage_;                          // Columns: update, event, id, other, environment.
  // Within an update.
  Phase phase_ = Phase::kEvolve;
  Round round_;                                     // Of the phase.
  torch::Tensor rows_;                              // [rows, P]
  torch::Tensor own_;                               // [n] float64
  std::vector<std::pair<int64_t, int64_t>> pairs_;  // (target or child, source) of the phase
  torch::Tensor direct_;                            // [pairs]
  torch::Tensor children_;                          // [c, k]
  std::vector<int64_t> parents_, passed_;
  int64_t transfers_ = 0, admitted_ = 0;
  std::optional<double> novelty_;
};

}  // namespace mentor::meta_learner
