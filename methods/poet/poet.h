// Paired open-ended trailblazer (Wang et al. 2019; methods/poet/README.md): invents environments
// while agents learn in them. The rules of transfer and reproduction are pure functions. The whole
// algorithm asks for scores as it goes.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "kernels/optimizer.h"
#include "methods/base/state.h"
#include "methods/shared/lineage.h"

namespace mentor::methods {

struct Transfers {
  std::vector<int64_t> source;    // [n]: the agent that a pair continues with; -1: its own
  std::vector<bool> is_proposal;  // [n]: that agent after its step in this environment
};
// own [n]: the pairs' own scores. recent: each pair's last own scores; empty for a new pair. direct
// and proposal [n, n]: the score in environment m of agent j as it is, and after one step there.
// The diagonal is not read. An undefined `direct` offers nothing.
Transfers ChooseTransfers(const torch::Tensor& own, const std::vector<std::vector<double>>& recent,
                          const torch::Tensor& direct, const torch::Tensor& proposal);

// Mean distance of each child [c, k] to its nearest neighbours in the archive [a, k]: [c] float64.
torch::Tensor Novelty(const torch::Tensor& children, const torch::Tensor& archive,
                      int64_t neighbours);
// Children that equal no active environment and in which their parent scores within the bounds.
std::vector<int64_t> PassedChildren(const torch::Tensor& children, const torch::Tensor& active,
                                    const torch::Tensor& scores_of_parent, double mc_low,
                                    double mc_high);
// The passed ones, the most novel first.
std::vector<int64_t> ByNovelty(const std::vector<int64_t>& passed, const torch::Tensor& novelty);
// The first `admit` children of `order` whose best score is within the bounds.
std::vector<int64_t> Admitted(const std::vector<int64_t>& order, const torch::Tensor& best_scores,
                              double mc_low, double mc_high, int64_t admit);

// How agents come to other environments: as they are and after a step there, after a step alone, or
// never. Then a child has its parent's agent.
enum class AgentTransfer { kBoth, kProposals, kNone };

struct PoetConfig {
  torch::Tensor low = {}, high = {};  // [k] float64: bounds of the environments' numbers
  int64_t population = 64;            // Perturbed agents of one step; even.
  double sigma = 0.1, sigma_decay = 0.999, least_sigma = 0.01;
  kernels::AdamConfig adam = {.learning_rate = 0.01, .epsilon = 1e-8};
  double rate_decay = 0.9999, least_rate = 0.001;
  // Length of steps along the gradient, in place of Adam's.
  std::optional<double> step_length = std::nullopt;
  int64_t max_active = 20, mutate_every = 150, transfer_every = 25;
  double mc_low = 50, mc_high = 300, reproduce = 200;
  int64_t neighbours = 5, children = 8, admit = 1;
  double mutation = 0.1;  // Greatest change of a number, as a share of its range.
  AgentTransfer transfer = AgentTransfer::kBoth;
  // The order in which children that passed are tried.
  std::function<std::vector<int64_t>(const std::vector<int64_t>& passed,
                                     const torch::Tensor& novelty)>
      order = ByNovelty;
};

// Environments with their agents. A function of config, seed, first environment and agent, and
// scores. Not thread-safe.
class Poet {
 public:
  // environment [k], agent [P] float32.
  Poet(PoetConfig config, uint64_t seed, const torch::Tensor& environment,
       const torch::Tensor& agent);

  struct Trial {
    int64_t agent = 0;          // Row of Round::agents.
    torch::Tensor environment;  // [k]
    int64_t place = 0;          // Trials of a round with equal places are in the same environment.
  };
  struct Round {
    std::vector<Trial> trials;
    // Trials 2i and 2i + 1 perturb their agents with opposite signs; otherwise agents are scored as
    // they are.
    bool perturbed = false;
    uint32_t first_number = 0;  // Even; numbers the first trial in the order of all trials ever.
    torch::Tensor agents;       // [rows, P] float32
    double sigma = 0;           // Standard deviation of the perturbations.
  };
  // Scores of the round's trials [trials], in their order; finite.
  using Scorer = std::function<absl::StatusOr<torch::Tensor>(const Round& round)>;
  struct Report {
    torch::Tensor scores;   // [n] float64: scores of the agents in their own environments
    int64_t transfers = 0;  // Agents that another pair continues with.
    int64_t admitted = 0;   // New environments,
    std::optional<double> novelty = std::nullopt;  // and their mean novelty.
  };
  // One update: a step of every pair; then transfers and new environments, when they are due. After
  // an error only Load helps.
  absl::StatusOr<Report> Update(const Scorer& scorer);
  double sigma() const;

  // Between updates only.
  TensorMap Save() const;
  absl::Status Load(const TensorMap& state);

  const PoetConfig& config() const { return config_; }
  int64_t num_active() const { return environments_.size(0); }
  uint32_t update() const { return update_; }
  const torch::Tensor& environments() const { return environments_; }  // [n, k] float64
  const torch::Tensor& agents() const { return theta_; }               // [n, P] float32
  std::string Table() const;  // The history of pairs (lineage.h), as CSV.

  // Upper bounds of the trials of a round, and of the rows of agents.
  static int64_t TrialsMax(const PoetConfig& config);
  static int64_t RowsMax(const PoetConfig& config);
  // Upper bounds of the environments that so many updates admit, and of the archive.
  static int64_t ArchiveAfter(const PoetConfig& config, int64_t updates);
  static constexpr int64_t kArchiveMax = 1 << 20;
  static constexpr int64_t kEventColumns = 4;  // Columns of the lineage before the environment's.

 private:
  enum class Event { kBorn, kDied, kDirect, kProposal };

  bool transfers_now() const;
  bool reproduces_now() const;
  // One agent in one environment, as rows of a tensor of agents and one of environments.
  struct Try {
    int64_t agent = 0, environment = 0;
  };
  // Agents in environments of other pairs.
  struct Offers {
    std::vector<Try> pairs;   // The agents are rows of theta_.
    torch::Tensor direct;     // [pairs]: scores as they are; undefined when not asked for.
    torch::Tensor stepped;    // [pairs, P]: the agents after a step there,
    torch::Tensor proposals;  // [pairs]: and their scores then; undefined when not asked for.
  };
  struct Children {
    torch::Tensor environments;    // [c, k] float64
    std::vector<int64_t> parents;  // [c]
  };

  // Scores of the tries. With `perturbed`, each try has `population` perturbations.
  absl::StatusOr<torch::Tensor> Score(const torch::Tensor& agents,
                                      const torch::Tensor& environments,
                                      const std::vector<Try>& tries, bool perturbed,
                                      const Scorer& scorer);
  absl::StatusOr<Offers> Offer(std::vector<Try> pairs, const torch::Tensor& environments,
                               bool direct, const Scorer& scorer);
  // Steps of agents [B, P] by the fitness [B population] of their perturbations. `first` numbers
  // the first of them.
  torch::Tensor Stepped(const torch::Tensor& agents, const torch::Tensor& fitness, uint32_t first,
                        torch::Tensor* m, torch::Tensor* v, torch::Tensor* steps) const;
  absl::Status Transfer(const Scorer& scorer, Report* report);
  absl::Status Reproduce(const Scorer& scorer, Report* report);
  void KeepScores(const torch::Tensor& scores);
  // Nothing when no pair may have any.
  std::optional<Children> MakeChildren(const torch::Tensor& scores) const;
  void Admit(const Children& children, const std::vector<int64_t>& passed, const Offers& offers,
             Report* report);
  void Note(Event event, int64_t id, int64_t other, const torch::Tensor& environment);

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
};

}  // namespace mentor::methods
