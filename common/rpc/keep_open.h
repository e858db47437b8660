// A client's stream that is opened again whenever it has ended, with patience in between. Blocks:
// for a thread of its own.
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
#include "common/rpc/stream.h"

namespace mentor::rpc {

template <typename Out, typename In>
struct KeepOpenOptions {
  using Handlers = typename Stream<Out, In>::Handlers;

  std::string server;  // "learner", for the log.
  // To it; called for each stream.
  std::function<std::shared_ptr<grpc::Channel>()> channel;
  // How a stream has ended; may be null.
  std::function<void(const absl::Status&)> on_ended = {};
  // After FAILED_PRECONDITION, which only a person can cure: another version, other last bits.
  std::chrono::milliseconds refused_wait{10'000};
  // Waits until the next stream is due, with a patience of its own; false: no more of them. Empty:
  // the reconnector's patience.
  std::function<bool()> wait = {};
  StreamOptions stream = {};
  // The first message.
  std::function<Out()> hello;
  // Gets a stream before it starts; nullopt: no more of them.
  std::function<std::optional<Handlers>(std::shared_ptr<Stream<Out, In>>)> on_open;
};

// call(stub, context, reactor) starts the method of the asynchronous stub. To end it, stop the
// reconnector, then close the stream; it returns after that stream's on_closed.
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
    // The reconnector is patient enough; the channel's own patience would come on top of it.
    grpc::experimental::ChannelResetConnectionBackoff(channel.get());
    const auto stub = Service::NewStub(channel);
    stream->Start(*std::move(handlers),
                  [&](auto* context, auto* reactor) { call(stub->async(), context, reactor); });
    stream->Send(options.hello());
    // Whoever stopped it may have closed the stream before it was open, which does nothing.
    if (reconnector->stopped()) stream->Close(absl::CancelledError("stopped"));
    const absl::Status status = ended->get_future().get();
    if (reconnector->stopped()) return;
    if (options.on_ended) options.on_ended(status);
    at_least =
        absl::IsFailedPrecondition(status) ? options.refused_wait : std::chrono::milliseconds(0);
    if (status.ok()) continue;
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning,
                     "no " + options.server + "; connecting again", {{"why", status}});
  }
}

}  // namespace mentor::rpc
