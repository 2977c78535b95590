// Tests of the exchange between processes, and of what happens when one of them is lost.
#include "viewfold/tensor/communicator.hpp"

#include <atomic>
#include <thread>

#include "tensor/normal_tensor.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using std::chrono::milliseconds;
using testing::in_joined_processes;
using testing::in_processes;

// Sizes of a group of any size: [n, 3] rows of this rank, [size * n, 3] of all.
struct Rows {
  at::Tensor own;
  at::Tensor all;
};

Rows rows_of(const Communicator& communicator, at::ScalarType type) {
  constexpr std::int64_t kEach = 5;
  const auto all = normal_tensor({communicator.size() * kEach, 3}, 4, type);
  return {.own = all.narrow(0, communicator.rank() * kEach, kEach).clone(), .all = all};
}

// How soon processes of these tests are missed.
JoinOptions quick_options() {
  return {
      .arrival = milliseconds(20'000), .beat = milliseconds(100), .silence = milliseconds(1'000)};
}

template <class Action>
std::string peer_error_of(const Action& action) {
  try {
    action();
  } catch (const PeerError& error) {
    return error.what();
  }
  return "";
}

TEST(Communicator, OfOneProcessGivesBackWhatItGets) {
  const Communicator communicator;
  EXPECT_EQ(communicator.rank(), 0);
  EXPECT_EQ(communicator.size(), 1);
  EXPECT_EQ(communicator.processes_here(), 1);
  const auto x = normal_tensor({4, 2}, 1);
  auto sum = x.clone();
  communicator.all_reduce_sum(sum);
  communicator.start_all_reduce_sum(sum).wait();
  communicator.broadcast(sum);
  communicator.barrier();
  EXPECT_TRUE(sum.equal(x));
  EXPECT_TRUE(communicator.all_gather(x).is_same(x));
  EXPECT_EQ(communicator.broadcast("text"), "text");
  const auto order = at::tensor({2, 0, 3, 1}, at::kLong);
  EXPECT_TRUE(communicator.exchange_rows(x, order).equal(x.index_select(0, order)));
  EXPECT_EQ(communicator.part(1).size(), 1);
  EXPECT_THROW((void)communicator.part(2), ContractViolation);
  EXPECT_EQ(Communicator::join({.rank = 0, .size = 1}).size(), 1);
}

TEST(Communicator, AddsGathersAndBroadcasts) {
  in_joined_processes(3, [](const Communicator& communicator) {
    EXPECT_EQ(communicator.size(), 3);
    EXPECT_EQ(communicator.processes_here(), 3);
    for (const auto type : {at::kFloat, at::kDouble, at::kLong}) {
      const auto values = at::full({2, 2}, communicator.rank() + 1, type);
      communicator.all_reduce_sum(values);
      EXPECT_TRUE(values.equal(at::full({2, 2}, 6, type)));
    }
    for (const auto type : {at::kFloat, at::kBFloat16, at::kLong, at::kBool}) {
      const auto rows = rows_of(communicator, type);
      EXPECT_TRUE(communicator.all_gather(rows.own).equal(rows.all));
      const auto values = rows.own.clone();
      communicator.broadcast(values);
      EXPECT_TRUE(values.equal(rows.all.narrow(0, 0, 5)));
    }
    EXPECT_EQ(communicator.broadcast(communicator.rank() == 0 ? "of rank 0" : "another text"),
              "of rank 0");
    EXPECT_EQ(communicator.broadcast(communicator.rank() == 0 ? "" : "longer"), "");
    communicator.barrier();
  });
}

TEST(Communicator, FormsSumsWhileOtherWorkGoesOn) {
  in_joined_processes(2, [](const Communicator& communicator) {
    std::vector<at::Tensor> values;
    std::vector<PendingSum> sums;
    for (int i = 0; i < 8; ++i) {
      values.push_back(at::full({100000}, communicator.rank() + i, at::kFloat));
      sums.push_back(communicator.start_all_reduce_sum(values.back()));
    }
    for (int i = 7; i >= 0; --i) {
      sums[static_cast<std::size_t>(i)].wait();
      EXPECT_TRUE(
          values[static_cast<std::size_t>(i)].equal(at::full({100000}, 2 * i + 1, at::kFloat)));
    }
  });
}

TEST(Communicator, GradientOfGatheredRowsIsTheSumOverAllProcesses) {
  in_joined_processes(2, [](const Communicator& communicator) {
    const auto rows = rows_of(communicator, at::kDouble);
    const auto own = rows.own.clone().requires_grad_(true);
    // The loss of a process: its own weights times the squares of all rows.
    const auto weights = [&](int rank) {
      return normal_tensor(rows.all.sizes().vec(), static_cast<std::uint64_t>(10 + rank));
    };
    (weights(communicator.rank()) * communicator.all_gather(own.mul(2)).square()).sum().backward();
    const auto expected = (8 * (weights(0) + weights(1)) * rows.all)
                              .narrow(0, communicator.rank() * own.size(0), own.size(0));
    EXPECT_TRUE(own.grad().allclose(expected, 1e-12, 1e-12));
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(communicator.all_gather(own).requires_grad());
  });
}

TEST(Communicator, ExchangesRowsByAPermutation) {
  in_joined_processes(3, [](const Communicator& communicator) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const auto type = seed % 2 == 0 ? at::kFloat : at::kBFloat16;
      const auto rows = rows_of(communicator, type);
      torch::manual_seed(seed);
      const auto order =
          seed == 3 ? at::arange(14, -1, -1, at::kLong) : at::randperm(15, at::kLong);
      const auto mine = order.narrow(0, communicator.rank() * 5, 5);
      EXPECT_TRUE(
          communicator.exchange_rows(rows.own, order).equal(rows.all.index_select(0, mine)));
    }
  });
}

TEST(Communicator, DividesIntoPartsThatWorkByThemselves) {
  in_joined_processes(4, [](const Communicator& communicator) {
    const auto half = communicator.part(2);
    EXPECT_EQ(half.size(), 2);
    EXPECT_EQ(half.rank(), communicator.rank() % 2);
    const auto values = at::full({1}, communicator.rank(), at::kLong);
    half.all_reduce_sum(values);
    EXPECT_EQ(values.item<int>(), communicator.rank() < 2 ? 1 : 5);
    EXPECT_EQ(communicator.part(4).size(), 1);
    const auto twin = communicator.part(1);
    EXPECT_EQ(twin.size(), 4);
    EXPECT_EQ(twin.rank(), communicator.rank());
    communicator.barrier();
  });
}

TEST(LostProcess, IsNamedByTheOthersAtTheirNextExchange) {
  in_processes(3,
               [](const ProcessPlace& place) {
                 const auto communicator = Communicator::join(place, quick_options());
                 const auto values = at::ones({10});
                 communicator.all_reduce_sum(values);
                 if (place.rank == 1) {
                   std::raise(SIGKILL);
                 }
                 const auto begin = std::chrono::steady_clock::now();
                 const auto said = peer_error_of([&] { communicator.all_reduce_sum(values); });
                 EXPECT_EQ(said.rfind("rank 1 on ", 0), 0U) << said;
                 EXPECT_NE(said.find("has ended or cannot be reached"), std::string::npos) << said;
                 EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
               },
               {0, 128 + SIGKILL, 0});
}

TEST(LostProcess, MayBeTheOneWhereTheOthersMeet) {
  in_processes(3,
               [](const ProcessPlace& place) {
                 const auto communicator = Communicator::join(place, quick_options());
                 communicator.barrier();
                 if (place.rank == 0) {
                   std::raise(SIGKILL);
                 }
                 const auto said = peer_error_of([&] { communicator.barrier(); });
                 EXPECT_EQ(said.rfind("rank 0 on ", 0), 0U) << said;
               },
               {128 + SIGKILL, 0, 0});
}

TEST(LostProcess, IsNoticedByOneThatComputes) {
  in_processes(2,
               [](const ProcessPlace& place) {
                 auto options = quick_options();
                 std::atomic<bool> noticed{false};
                 std::string said;
                 options.on_lost = [&](const std::string& message) {
                   said = message;
                   noticed = true;
                 };
                 const auto communicator = Communicator::join(place, options);
                 communicator.barrier();
                 if (place.rank == 1) {
                   std::raise(SIGKILL);
                 }
                 for (int i = 0; i < 200 && !noticed; ++i) {
                   std::this_thread::sleep_for(milliseconds(100));
                 }
                 EXPECT_TRUE(noticed);
                 EXPECT_EQ(said.rfind("rank 1 on ", 0), 0U) << said;
               },
               {0, 128 + SIGKILL});
}

TEST(LostProcess, TellsWhyWhenItCan) {
  in_processes(3, [](const ProcessPlace& place) {
    const auto communicator = Communicator::join(place, quick_options());
    communicator.barrier();
    if (place.rank == 2) {
      communicator.tell_failure("x.png: is no picture");
      return;
    }
    const auto said = peer_error_of([&] { communicator.barrier(); });
    EXPECT_EQ(said.rfind("rank 2 on ", 0), 0U) << said;
    EXPECT_NE(said.find("): x.png: is no picture"), std::string::npos) << said;
  });
}

TEST(LostProcess, ThatLeavesEarlyIsNamed) {
  in_processes(2, [](const ProcessPlace& place) {
    const auto communicator = Communicator::join(place, quick_options());
    communicator.barrier();
    if (place.rank == 0) {
      EXPECT_EQ(peer_error_of([&] { communicator.barrier(); }).rfind("rank 1 on ", 0), 0U);
    }
  });
}

TEST(Join, NamesThoseThatHaveNotCome) {
  in_processes(3, [](const ProcessPlace& place) {
    auto options = quick_options();
    options.arrival = milliseconds(2'000);
    if (place.rank == 1) {
      return;
    }
    const auto said = peer_error_of([&] { (void)Communicator::join(place, options); });
    EXPECT_EQ(said.rfind("1 of 3 processes have not come", 0), 0U) << said;
    EXPECT_NE(said.find("rank 1"), std::string::npos) << said;
  });
}

TEST(Join, NamesRank0WhenNobodyIsThere) {
  const ProcessPlace place{.rank = 1,
                           .size = 2,
                           .host = "127.0.0.1",
                           .port = static_cast<std::uint16_t>(testing::free_port())};
  const auto said =
      peer_error_of([&] { (void)Communicator::join(place, {.arrival = milliseconds(300)}); });
  EXPECT_NE(said.find("is rank 0 running there?"), std::string::npos) << said;
}

TEST(Join, RefusesAnAddressThatMeansNothing) {
  EXPECT_THROW((void)Communicator::join({.rank = 0, .size = 2, .host = "no.such.host.invalid"}),
               UsageError);
}

TEST(Join, RefusesAPortThatIsTaken) {
  const int handle = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_any;
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(handle, any, size), 0);
  ASSERT_EQ(::listen(handle, 1), 0);
  ASSERT_EQ(::getsockname(handle, any, &size), 0);
  EXPECT_THROW((void)Communicator::join({.rank = 0, .size = 2, .port = ntohs(address.sin6_port)}),
               UsageError);
  ::close(handle);
}

TEST(Join, RefusesTwoOfOneRank) {
  in_processes(3, [](const ProcessPlace& place) {
    auto options = quick_options();
    options.arrival = milliseconds(2'500);
    const ProcessPlace claimed{
        .rank = std::min(place.rank, 1), .size = 3, .host = place.host, .port = place.port};
    std::string said;
    try {
      (void)Communicator::join(claimed, options);
    } catch (const Error& error) {
      said = error.what();
    }
    const bool refused = said.find("has come already") != std::string::npos;
    const bool waited = said.find("have not come") != std::string::npos;
    EXPECT_TRUE(place.rank == 0 ? waited : refused || waited) << said;
  });
}

}  // namespace
}  // namespace viewfold
