#include <cmath>
#include <stdexcept>
#include <thread>
#include <utility>

#include "check.hpp"
#include "miniffx/memory.hpp"
#include "miniffx/parallel.hpp"
#include "past_caches.hpp"
#include "simd.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#define HAS_FORK 1
#else
#define HAS_FORK 0
#endif

namespace {

using testing::integer;
using testing::Random;
using testing::System;
using testing::uniform;

std::string describe(const System& s) {
    std::string text =
        s.name + ", atoms " + std::to_string(s.size()) + ", cutoff " + std::to_string(s.cutoff) + ", cell";
    for (const double x : s.cell) text += " " + std::to_string(x);
    for (const bool p : s.pbc) text += p ? " T" : " F";
    return text;
}

void check_system(const System& s) {
    const miniffx::Pairs pairs = testing::find_pairs(s, 1);
    CHECK(pairs.offsets.size() == s.size() + 1 && pairs.offsets[0] == 0 && pairs.offsets[s.size()] == pairs.size());
    for (std::int64_t i = 0; i < s.size(); ++i) {
        for (std::int64_t p = pairs.offsets[i]; p < pairs.offsets[i + 1]; ++p) {
            if (pairs.i[p] != i) CHECK_NOTE(false, describe(s));
        }
    }
    const auto found = testing::entries(pairs), expected = testing::brute_force(s);
    CHECK_NOTE(found == expected,
               describe(s) + ": " + std::to_string(found.size()) + " != " + std::to_string(expected.size()));
    for (const int threads : {2, 8}) CHECK_NOTE(testing::same(pairs, testing::find_pairs(s, threads)), describe(s));
}

std::array<double, 9> rotate(Random& random, const std::array<double, 9>& cell) {
    // Two random plane rotations and, half of the time, a reflection.
    std::array<double, 9> result = cell;
    for (const auto& plane : {std::array<std::size_t, 2>{0, 1}, std::array<std::size_t, 2>{1, 2}}) {
        const double angle = uniform(random, 0, 6.28), c = std::cos(angle), s = std::sin(angle);
        for (std::size_t a = 0; a < 3; ++a) {
            const double u = result[3 * a + plane[0]], v = result[3 * a + plane[1]];
            result[3 * a + plane[0]] = c * u - s * v;
            result[3 * a + plane[1]] = s * u + c * v;
        }
    }
    if (integer(random, 0, 1) == 1) {
        for (std::size_t a = 0; a < 3; ++a) result[3 * a] = -result[3 * a];
    }
    return result;
}

void random_cells() {
    Random random(2);
    for (int round = 0; round < 400; ++round) {
        System s{"random cell", {}, {}, {}, 0};
        const double edge = uniform(random, 1, 4), height = uniform(random, 0.5, 3);
        // From cubic to heights of a tenth of the edge and less.
        const double shear = round % 3 == 0 ? 0 : uniform(random, -10, 10) * edge;
        s.cell = rotate(random, {edge, 0, 0, shear, height, 0, uniform(random, -5, 5), uniform(random, -5, 5), edge});
        for (std::size_t a = 0; a < 3; ++a) {
            s.pbc[a] = round % 4 == 0 || integer(random, 0, 1) == 1;
            if (s.pbc[a]) continue;
            const double nominal[] = {0, 1, 1000};  // must not matter
            for (std::size_t c = 0; c < 3; ++c) s.cell[3 * a + c] = nominal[integer(random, 0, 2)];
        }
        s.cutoff = uniform(random, 0.2, round % 10 == 0 ? 5.2 : 2.5) * std::min(edge, height);
        const int n = integer(random, 1, 7);
        for (int i = 0; i < n; ++i) {
            std::array<double, 3> r{};
            for (double& x : r) x = uniform(random, -4, 4);
            for (std::size_t a = 0; a < 3; ++a) {
                const int far = round % 5 == 1 && s.pbc[a] ? integer(random, -5000, 5000) : 0;
                for (std::size_t c = 0; far != 0 && c < 3; ++c) r[c] += far * s.cell[3 * a + c];
            }
            if (i > 0 && integer(random, 0, 9) == 0) std::copy_n(s.positions.begin(), 3, r.begin());
            s.positions.insert(s.positions.end(), r.begin(), r.end());
        }
        check_system(s);
    }
}

// Everything on faces and at the cutoff, to the last bit.
void lattice_positions() {
    Random random(3);
    for (const double step : {0.1, 0.5, 1.0 / 3.0, 1.0}) {
        for (int round = 0; round < 40; ++round) {
            const int edge = integer(random, 2, 4);
            System s{"lattice positions", {}, {}, {true, true, round % 2 == 0}, integer(random, 1, 4) * step};
            for (std::size_t a = 0; a < 3; ++a) s.cell[4 * a] = edge * step;
            if (round % 4 == 1) s.cell[3] = 7 * edge * step;  // a shear that is a lattice vector
            const int far = round % 3 == 0 ? 30000 : 3;
            for (int i = 0; i < 12; ++i) {
                for (int c = 0; c < 3; ++c) {
                    double x = integer(random, -far, far) * step;
                    const int nudge = integer(random, 0, 3);
                    if (nudge == 1) x = std::nextafter(x, -1e9);
                    if (nudge == 2) x = std::nextafter(x, 1e9);
                    s.positions.push_back(x);
                }
            }
            check_system(s);
        }
    }
}

void tiny_negative_coordinates() {
    System s{"wraps to 1",
             {-1e-17, 5, 5, 9.5, 5, 5, 0.5, -1e-300, 9.9999999999999999, 10, 10, 10, 0, 0, 0},
             {10, 0, 0, 0, 10, 0, 0, 0, 10},
             {true, true, true},
             3};
    check_system(s);
    for (const double cutoff : {10.0, 20.0, 5.0}) {
        s.cutoff = cutoff;
        check_system(s);
    }
}

void grids_of_every_kind() {
    Random random(4);
    check_system(testing::random_system(random, 300, 11, 3));    // rows split finely
    check_system(testing::random_system(random, 300, 25, 3));    // a table of all bins
    check_system(testing::random_system(random, 200, 200, 10));  // mostly empty
    System scattered = testing::random_system(random, 200, 1e5, 4);
    for (std::size_t k = 300; k < 600; ++k)
        scattered.positions[k] = scattered.positions[k - 300] + uniform(random, -2, 2);
    scattered.name = "pairs scattered over a huge box";
    for (const bool periodic : {true, false}) {
        scattered.pbc = {periodic, periodic, periodic};
        check_system(scattered);
    }
    System slab = testing::random_system(random, 200, 10, 4);
    slab.name = "vacuum";
    slab.cell = {10, 0, 0, 3, 10, 0, 0, 0, 1e6};
    check_system(slab);
    slab.pbc[2] = false;
    slab.cell[8] = 1;
    check_system(slab);
    slab.positions[2] = 1e9;  // one atom far off, where nothing is periodic
    slab.positions[5] = 1e9 + 1;
    check_system(slab);
    System cluster = testing::random_system(random, 100, 8, 30);
    cluster.name = "cutoff beyond the cluster";
    cluster.cell = {};
    cluster.pbc = {};
    check_system(cluster);
    System wire = testing::random_system(random, 100, 6, 2);
    wire.name = "wire";
    wire.cell = {0, 0, 0, 2, 3, 1, 0, 0, 0};
    wire.pbc = {false, true, false};
    check_system(wire);
}

// Many bins per axis, none at right angles: what may be skipped around a bin depends on all three.
void oblique_bins() {
    Random random(8);
    for (int round = 0; round < 24; ++round) {
        // Dense ones get bins of half and a quarter of the cutoff.
        const bool dense = round % 6 == 0;
        System s{"oblique bins", {}, {}, {true, true, true}, dense ? uniform(random, 5, 5.5) : uniform(random, 1, 2.5)};
        const double half = 0.5 * (round % 2 == 0 ? 1 : uniform(random, -1, 1));
        s.cell = rotate(random, {12, 0, 0, 12 * half, 10, 0, -12 * half, 10 * half, 10});
        for (std::size_t a = 0; a < 3; ++a) s.pbc[a] = round % 4 < 2 || integer(random, 0, 3) > 0;
        for (int i = 0; i < (dense ? 420 : 150); ++i) {
            double along[3];
            for (double& x : along) x = uniform(random, 0, 1);
            for (std::size_t c = 0; c < 3; ++c) {
                s.positions.push_back(along[0] * s.cell[c] + along[1] * s.cell[3 + c] + along[2] * s.cell[6 + c]);
            }
        }
        check_system(s);
    }
}

void one_atom_many_images() {
    System s{"one atom", {7, -3, 2}, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {true, true, true}, 6.5};
    check_system(s);
    s.cell = {1, 0, 0, 9.7, 1, 0, -4.2, 8.8, 1};
    check_system(s);
    s.cell = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    s.cutoff = 9.2;  // more candidates than are looked at in one go
    check_system(s);
    CHECK(testing::find_pairs({"", {0, 0, 0}, {}, {}, 5}).size() == 0);
}

void no_atoms() {
    const System s{"no atoms", {}, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {true, true, true}, 5};
    const miniffx::Pairs pairs = testing::find_pairs(s);
    CHECK(pairs.size() == 0 && pairs.offsets.size() == 1 && pairs.offsets[0] == 0);
}

void ignored_atoms() {
    Random random(5);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const System all = testing::random_system(random, 40, 5, 2);
    System padded = all;
    std::vector<std::int32_t> species(40, 0);
    for (int k = 0; k < 3; ++k) {
        const double anywhere[] = {nan, 1e300, std::numeric_limits<double>::infinity()};
        padded.positions.insert(padded.positions.end(), 3, anywhere[k]);
        species.push_back(-1);
    }
    const miniffx::Pairs pairs = testing::find_pairs(padded, 2, species.data());
    CHECK(testing::entries(pairs) == testing::entries(testing::find_pairs(all)));
    CHECK(pairs.n_atoms == 43 && pairs.offsets[40] == pairs.offsets[43]);
    std::fill(species.begin(), species.end(), -1);
    CHECK(testing::find_pairs(padded, 2, species.data()).size() == 0);
}

void errors() {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const System good{"", {0, 0, 0, 1, 1, 1}, {2, 0, 0, 0, 2, 0, 0, 0, 2}, {true, true, true}, 3};
    System s = good;
    for (const double cutoff : {0.0, -1.0, nan, std::numeric_limits<double>::infinity()}) {
        s.cutoff = cutoff;
        CHECK_THROWS(std::invalid_argument, "`cutoff` must be a positive, finite number, got ", testing::find_pairs(s));
    }
    s = good;
    s.positions[4] = nan;
    CHECK_THROWS(std::invalid_argument, "for atom 1", testing::find_pairs(s));
    s.positions[4] = 1e12;
    CHECK_THROWS(std::invalid_argument, "for atom 1", testing::find_pairs(s));
    s.positions[4] = -2.0 * 2147483000.0;  // fits, but not its difference to the other atom and the search around it
    s.positions[1] = 2.0 * 2147483000.0;
    CHECK_THROWS(std::invalid_argument, "32 bits", testing::find_pairs(s));
    s = good;
    s.cell[4] = 0;
    CHECK_THROWS(std::invalid_argument, "`cell`", testing::find_pairs(s));
    CHECK_THROWS(std::invalid_argument, "`threads`", testing::find_pairs(good, -1));
    s = good;
    s.cutoff = 1e6;  // 10^18 images
    CHECK_THROWS(miniffx::OutOfMemory, "GB", testing::find_pairs(s));
    // Many neighbours within one image: told while they are being found.
    const System crowd{"", std::vector<double>(3 * 5000, 0.5), good.cell, {false, false, false}, 1};
    CHECK_THROWS(miniffx::OutOfMemory, "A list of more than ",
                 miniffx::find_neighbors(crowd.size(), crowd.positions.data(), crowd.cell.data(), crowd.pbc.data(),
                                         crowd.cutoff, nullptr, 0, 1e9));
    CHECK_THROWS(std::bad_alloc, "", miniffx::Buffer<double>(std::numeric_limits<std::int64_t>::max()));
}

void far_but_representable() {
    // A million cells out, the same for all atoms or not.
    Random random(6);
    System s = testing::random_system(random, 20, 4, 3);
    for (double& x : s.positions) x += 4e6;
    check_system(s);
    for (double& x : s.positions) x -= 8e6 * integer(random, 0, 1);
    check_system(s);
}

// So far out that a coordinate along the cell is uncertain by much more than the displacement of two neighbours: pairs
// just within the cutoff are missed wherever the search does not reach as much farther.
void search_margin() {
    Random random(9);
    for (int round = 0; round < 4; ++round) {
        System s{"far out", {}, {1000, 0, 0, 0, 1000, 0, 0, 0, 1000}, {true, true, true}, 1};
        for (int i = 0; i < 150; ++i) {
            double r[3], d[3], length = 0;
            for (int c = 0; c < 3; ++c) {
                // Near the faces of bins as wide as the cutoff.
                r[c] = 1000 * (integer(random, 0, 998) / 999.0) + uniform(random, -1e-3, 1e-3);
                d[c] = i % 2 == 0 ? (c == i % 3 ? 1 : 0) : uniform(random, -1, 1);
                length += d[c] * d[c];
            }
            for (int c = 0; c < 3; ++c) s.positions.push_back(r[c] + 1000.0 * integer(random, -1000000000, 1000000000));
            for (int c = 0; c < 3; ++c) {
                const double near = r[c] + d[c] / std::sqrt(length) * (1 - uniform(random, 0, 3e-4));
                s.positions.push_back(near + 1000.0 * integer(random, -1000000000, 1000000000));
            }
        }
        check_system(s);
    }
}

// Atoms that span nearly, just or more than one cell, wherever: the box that they are wrapped into begins elsewhere.
void spans_of_every_kind() {
    Random random(13);
    for (const double span : {0.3, 1 - 1e-6, 1 - 1e-12, 1 - 0x1p-53, 1.0, 1 + 1e-12, 1.05}) {
        for (const double begin : {0.0, -0.04, 0.7, -1000.3, 1e6}) {
            const double edge = uniform(random, 6, 14);
            System s{"span", {}, {edge, 0, 0, 0, edge, 0, 0, 0, edge}, {true, true, true}, uniform(random, 2, 5)};
            s.pbc[static_cast<std::size_t>(integer(random, 0, 2))] = integer(random, 0, 1) == 1;
            s.cell[static_cast<std::size_t>(3 * integer(random, 1, 2))] = uniform(random, -5, 5);
            for (int k = 0; k < 24; ++k) {
                double along[3];
                for (double& x : along) {
                    const int face = integer(random, 0, 3);
                    x = begin + span * (face == 0 ? 0 : face == 1 ? 1 : uniform(random, 0, 1));
                }
                for (std::size_t c = 0; c < 3; ++c) {
                    s.positions.push_back(along[0] * s.cell[c] + along[1] * s.cell[3 + c] + along[2] * s.cell[6 + c]);
                }
            }
            check_system(s);
        }
    }
}

bool is_larger_than_the_caches(const System& s) {
    const auto n_pairs = static_cast<double>(testing::find_pairs(s).size());
    return miniffx::kPairBytes * n_pairs > miniffx::kCacheBytes || std::isinf(miniffx::kCacheBytes);
}

// A list that is written past the caches, some of its atoms in other images of the box.
void larger_than_the_caches() {
    Random random(12);
    // About 5 000 and 10 000 neighbours: rows that are staged, and rows too long for that.
    for (const auto& [n_atoms, cutoff] : {std::pair{300, 16.0}, std::pair{150, 25.0}}) {
        System s = testing::random_system(random, n_atoms, 10, cutoff);
        for (std::size_t k = 0; k < 90; ++k) s.positions[k] += 10 * integer(random, -2, 2);
        check_system(s);
        CHECK(is_larger_than_the_caches(s));
    }
    // No pair across a face: no shifts but those of atoms in other images.
    for (const int images : {0, 1}) {
        System s = testing::random_system(random, 1300, 10, 20);
        for (double& x : s.positions) x += 50;
        for (std::size_t k = 0; k < 9; ++k) s.cell[k] *= 12;
        for (std::size_t k = 0; k < 90; ++k) s.positions[k] += 120 * integer(random, -images, images);
        check_system(s);
        CHECK(is_larger_than_the_caches(s));
    }
}

// Bit-identical, order included, whatever the instructions.
void variants_agree() {
    Random random(10);
    std::vector<System> systems = {testing::random_system(random, 700, 12, 3), testing::random_system(random, 50, 4, 5),
                                   testing::random_system(random, 300, 10, 3.3)};
    for (double& x : systems[2].positions) x += 10 * integer(random, -2, 2);
    for (const System& s : systems) {
        const miniffx::Simd best = miniffx::simd_in_use();
        miniffx::use_simd(miniffx::Simd::portable);
        const miniffx::Pairs expected = testing::find_pairs(s);
        miniffx::use_simd(best);
        CHECK(testing::same(expected, testing::find_pairs(s)));
    }
}

// Threads of the parent must not be waited for in a forked child.
void forked_child() {
#if HAS_FORK
    Random random(11);
    const System s = testing::random_system(random, 3000, 24, 3);
    const miniffx::Pairs expected = testing::find_pairs(s, 4);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(testing::same(expected, testing::find_pairs(s, 4)) ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

void concurrent_calls() {
    Random random(7);
    const System s = testing::random_system(random, 300, 10, 3);
    const miniffx::Pairs expected = testing::find_pairs(s, 1);
    std::array<bool, 4> equal{};
    std::vector<std::thread> callers;
    for (std::size_t k = 0; k < equal.size(); ++k) {
        callers.emplace_back([&, k] {
            equal[k] = true;
            for (int round = 0; round < 5; ++round) {
                equal[k] = equal[k] && testing::same(expected, testing::find_pairs(s, static_cast<int>(k % 2) + 1));
            }
        });
    }
    for (auto& caller : callers) caller.join();
    for (const bool e : equal) CHECK(e);
}

}  // namespace

int main() {
    CHECK(miniffx::max_threads() >= 1);
    for (const auto& [simd, name] :
         {std::pair{miniffx::Simd::portable, "portable"}, std::pair{miniffx::Simd::avx2, "AVX2"},
          std::pair{miniffx::Simd::avx512, "AVX-512"}}) {
        if (!miniffx::supports(simd)) {
            std::printf("skipped: the %s variant is not built or this processor lacks it\n", name);
            continue;
        }
        miniffx::use_simd(simd);
        std::printf("%s\n", name);
        random_cells();
        lattice_positions();
        tiny_negative_coordinates();
        grids_of_every_kind();
        oblique_bins();
        one_atom_many_images();
        no_atoms();
        ignored_atoms();
        far_but_representable();
        search_margin();
        spans_of_every_kind();
        variants_agree();
    }
    larger_than_the_caches();
    errors();
    concurrent_calls();
    forked_child();
    return testing::finish();
}
