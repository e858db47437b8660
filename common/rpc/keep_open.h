// Keeps a client's stream open: opens it again after each end, with delays. Blocks, so it needs its
// own thread.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <grpcpp/channel.h>

#include "common/log.h"
#include "common/rpc/channel.h"
#include "common/rpc/health.h"
#include "common/rpc/stream.h"

namespace mentor::rpc {

template <typename Out, typename In>
struct KeepOpenOptions {
  using Handlers = typename Stream<Out, In>::Handlers;

  std::string server;  // Name of the server, for the log: "learner".
  std::string flag;    // How a user names its address: "--learner".
  std::function<std::string()> address;
  // Returns a channel to the server; called for each stream.
  std::function<std::shared_ptr<grpc::Channel>()> channel;
  // Receives the status of each ended stream; may be null.
  std::function<void(const absl::Status&)> on_ended = {};
  // Delay after FAILED_PRECONDITION, which only a person can cure: another version, other last
  // bits, the address of another program.
  std::chrono::milliseconds refused_wait{10'000};
  // Waits until the next stream is due; returns false to end the loop. Empty: the reconnector's
  // delays.
  std::function<bool()> wait = {};
  StreamOptions stream = {};
  // Returns the first message.
  std::function<Out()> hello;
  // Receives a stream before it starts; nullopt ends the loop.
  std::function<std::optional<Handlers>(std::shared_ptr<Stream<Out, In>>)> on_open;
};

// call(stub, context, reactor) starts the method of the asynchronous stub. To end the loop, stop
// the reconnector, then close the stream; KeepOpen returns after that stream's on_closed.
template <typename Service, typename Out, typename In, typename Call>
void KeepOpen(Reconnector* reconnector, const KeepOpenOptions<Out, In>& options, Call call) {
  std::chrono::milliseconds at_least{0};
  while (options.wait ? options.wait() : reconnector->Wait(at_least)) {
    const auto stream = ClientStream<Out, In>::Make(options.stream);
    auto handlers = options.on_open(stream);
    if (!handlers) return;
    const auto ended = std::make_shared<std::promise<absl::Status>>();
    handlers->on_closed = [ended, own = handlers->on_closed](const absl::Status& status) {
      own(status);
      ended->set_value(status);
    };
    const std::shared_ptr<grpc::Channel> channel = options.channel();
    // The reconnector already delays; the channel's own backoff would add to it.
    grpc::experimental::ChannelResetConnectionBackoff(channel.get());
    const auto stub = Service::NewStub(channel);
    stream->Start(*std::move(handlers),
                  [&](auto* context, auto* reactor) { call(stub->async(), context, reactor); });
    stream->Send(options.hello());
    // Stop may have closed the stream before it was open, which had no effect.
    if (reconnector->stopped()) stream->Close(absl::CancelledError("stopped"));
    absl::Status status = ended->get_future().get();
    if (reconnector->stopped()) return;
    if (absl::IsUnimplemented(status))
      status = WrongServer(channel, options.server, options.flag, options.address);
    if (options.on_ended) options.on_ended(status);
    at_least =
        absl::IsFailedPrecondition(status) ? options.refused_wait : std::chrono::milliseconds(0);
    if (status.ok()) continue;
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning,
                     "no " + options.server + "; connecting again", {{"why", status}});
  }
}

}  // namespace mentor::rpc
