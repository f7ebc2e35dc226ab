#include "miniffx/rows.hpp"

#include <algorithm>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "near_slots.hpp"
#include "parallel_for.hpp"

namespace miniffx {
namespace {

using Kind = std::array<std::int32_t, 3>;

void check_triples(const Pairs& pairs, double cutoff, const Kind& kind, std::int64_t n_species) {
    if (!(cutoff >= 0 && cutoff <= pairs.cutoff)) {
        std::ostringstream message;
        message.precision(17);
        message << "`triple_cutoff` must be 0 (no triples) or positive, and not exceed the cutoff of the pairs ("
                << pairs.cutoff << "), got " << cutoff;
        throw std::invalid_argument(message.str());
    }
    if (!(0 <= kind[0] && kind[0] < n_species && 0 <= kind[1] && kind[1] <= kind[2] && kind[2] < n_species)) {
        std::ostringstream message;
        message << "`triple_kinds` must be species (A, B, C) below " << n_species << " with B <= C, got (" << kind[0]
                << ", " << kind[1] << ", " << kind[2] << ")";
        throw std::invalid_argument(message.str());
    }
}

void check_species(const Pairs& pairs, const std::int32_t* species, std::int64_t n_species) {
    for (std::int64_t i = 0; i < pairs.n_atoms; ++i) {
        if (species[i] < n_species) continue;
        throw std::invalid_argument("`species` must be below the number of species, " + std::to_string(n_species) +
                                    ", got " + std::to_string(species[i]) + " for atom " + std::to_string(i));
    }
}

std::int64_t most_pairs(const Pairs& pairs) {
    std::int64_t most = 0;
    for (std::int64_t i = 0; i < pairs.n_atoms; ++i) most = std::max(most, pairs.offsets[i + 1] - pairs.offsets[i]);
    return most;
}

// Whether all atoms are of species 0: no species then has to be looked up.
bool is_single(const Pairs& pairs, const std::int32_t* species, std::size_t n_species) {
    return n_species == 1 && std::all_of(species, species + pairs.n_atoms, [](std::int32_t s) { return s == 0; });
}

// One thread's view of the neighbours of one centre: the pair in each column, and those near enough for
// triples.
struct Scratch {
    Scratch(std::int64_t n_columns, std::int64_t n_species, double triple_cutoff, bool closed)
        : pair(static_cast<std::size_t>(n_columns)),
          group(static_cast<std::size_t>(n_species) + 1),
          near(n_columns, triple_cutoff, closed) {}

    std::vector<std::int64_t> pair;
    std::vector<std::int64_t> group;  // near slots of species B: group[B] ... group[B + 1] - 1
    NearSlots near;
};

// Near slots among the written columns, grouped by species. begin(B) and count(B) say where B's columns are.
template <class Begin, class Count>
void collect_near(const Pairs& pairs, Scratch& scratch, const Begin& begin, const Count& count) {
    scratch.near.clear();
    for (std::size_t b = 0; b + 1 < scratch.group.size(); ++b) {
        scratch.group[b] = scratch.near.size();
        for (std::int64_t column = begin(b); column < begin(b) + count(b); ++column) {
            scratch.near.add(column, pairs.vector.data() + 3 * scratch.pair[static_cast<std::size_t>(column)]);
        }
    }
    scratch.group.back() = scratch.near.size();
}

// visit(a, begin, end) for every near slot a of species B with the range of slots of species C to combine it
// with.
template <class Visit>
void combine(const Scratch& scratch, const Kind& kind, const Visit& visit) {
    const auto b = static_cast<std::size_t>(kind[1]), c = static_cast<std::size_t>(kind[2]);
    for (std::int64_t a = scratch.group[b]; a < scratch.group[b + 1]; ++a) {
        visit(a, b == c ? a + 1 : scratch.group[c], scratch.group[c + 1]);
    }
}

// Writes one row's pairs, and scratch.pair. Returns whether something did not fit. center < 0: a padding row.
// `single`: all atoms are of the one species that there is, so that a row is a stretch of the pairs.
bool fill_pairs(const Pairs& pairs, const std::int32_t* species, const RowTarget& target, std::size_t n_species,
                std::int64_t row, std::int64_t center, bool single, Scratch& scratch) {
    const std::int64_t width = target.columns[n_species];
    std::int32_t* neighbors = target.neighbors + row * width;
    std::int32_t* shifts = target.shifts + row * width * 3;
    std::int32_t* counts = target.counts + row * static_cast<std::int64_t>(n_species);
    std::fill_n(counts, n_species, 0);
    bool overflow = false;
    const std::int64_t begin = center < 0 ? 0 : pairs.offsets[center];
    const std::int64_t end = center < 0 ? 0 : pairs.offsets[center + 1];
    if (single) {
        const std::int64_t n = std::min(end - begin, width);
        overflow = n < end - begin;
        counts[0] = static_cast<std::int32_t>(n);
        std::copy_n(pairs.j.data() + begin, n, neighbors);
        std::copy_n(pairs.shift.data() + 3 * begin, 3 * n, shifts);
        for (std::int64_t k = 0; k < n; ++k) scratch.pair[static_cast<std::size_t>(k)] = begin + k;
    } else {
        for (std::int64_t p = begin; p < end; ++p) {
            const std::int32_t b = species[pairs.j[p]];
            if (b < 0) continue;
            const std::int32_t column = target.columns[b] + counts[b];
            if (column >= target.columns[b + 1]) {
                overflow = true;
                continue;
            }
            ++counts[b];
            neighbors[column] = pairs.j[p];
            std::copy_n(pairs.shift.data() + 3 * p, 3, shifts + 3 * std::int64_t{column});
            scratch.pair[static_cast<std::size_t>(column)] = p;
        }
    }
    const auto padding = static_cast<std::int32_t>(std::max<std::int64_t>(center, 0));
    for (std::size_t b = 0; b < n_species; ++b) {
        const std::int64_t first = target.columns[b] + counts[b], room = target.columns[b + 1] - first;
        std::fill_n(neighbors + first, room, padding);
        std::fill_n(shifts + 3 * first, 3 * room, 0);
    }
    return overflow;
}

// Writes one row's triples of one kind from the near slots. Returns whether some did not fit.
bool fill_triples(const TripleTarget& target, std::int64_t row, Scratch& scratch) {
    NearSlots& near = scratch.near;
    std::int32_t* first = target.first + row * target.capacity;
    std::int32_t* second = target.second + row * target.capacity;
    std::int64_t count = 0;
    bool overflow = false;
    combine(scratch, target.kind, [&](std::int64_t a, std::int64_t begin, std::int64_t end) {
        std::int64_t found = near.find_joined(a, begin, end);
        const std::int64_t room = target.capacity - count;
        overflow = overflow || found > room;
        found = std::min(found, room);
        for (std::int64_t k = 0; k < found; ++k) {
            first[count + k] = static_cast<std::int32_t>(near.slot(a));
            second[count + k] = static_cast<std::int32_t>(near.joined()[k]);
        }
        count += found;
    });
    std::fill(first + count, first + target.capacity, 0);
    std::fill(second + count, second + target.capacity, 0);
    target.count[row] = static_cast<std::int32_t>(count);
    return overflow;
}

std::int32_t to_capacity(std::int64_t count) {
    if (count > std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("`triple_cutoff` must leave fewer than 2^31 triples per atom, got " +
                                    std::to_string(count));
    }
    return static_cast<std::int32_t>(count);
}

}  // namespace

bool fill_rows(const Pairs& pairs, const std::int32_t* species, const std::vector<RowTarget>& rows,
               const std::vector<TripleTarget>& triples, double triple_cutoff, bool closed, int threads) {
    const std::size_t n_species = rows.size();
    check_species(pairs, species, static_cast<std::int64_t>(n_species));
    check_triples(pairs, triple_cutoff, {0, 0, 0}, 1);
    for (const TripleTarget& target : triples) {
        check_triples(pairs, triple_cutoff, target.kind, static_cast<std::int64_t>(n_species));
        if (target.capacity < 0 || target.capacity > std::numeric_limits<std::int32_t>::max()) {
            throw std::invalid_argument("`triple_capacity` must be between 0 and 2^31 - 1, got " +
                                        std::to_string(target.capacity));
        }
    }
    std::int64_t widest = 0, n_rows = 0;
    for (const RowTarget& target : rows) {
        bool ascending = target.columns[0] == 0;
        for (std::size_t b = 0; b < n_species; ++b) {
            ascending = ascending && target.columns[b] <= target.columns[b + 1];
        }
        if (!ascending) throw std::invalid_argument("`columns` must start at 0 and ascend in every row");
        widest = std::max<std::int64_t>(widest, target.columns[n_species]);
        n_rows += target.n_rows;
    }
    const bool single = is_single(pairs, species, n_species);
    threads = thread_count(threads, n_rows, 512);
    std::vector<Scratch> scratch(static_cast<std::size_t>(threads),
                                 Scratch(widest, static_cast<std::int64_t>(n_species), triple_cutoff, closed));
    std::vector<char> overflow(static_cast<std::size_t>(threads), 0);

    for (std::size_t a = 0; a < n_species; ++a) {
        const RowTarget& target = rows[a];
        std::vector<const TripleTarget*> kinds;
        for (const TripleTarget& triple : triples) {
            if (triple.kind[0] == static_cast<std::int32_t>(a)) kinds.push_back(&triple);
        }
        parallel_for(target.n_rows, threads, 16, [&](std::int64_t row, int thread) {
            Scratch& mine = scratch[static_cast<std::size_t>(thread)];
            char& lost = overflow[static_cast<std::size_t>(thread)];
            std::int64_t center = target.centers[row];
            if (center < 0 || center >= pairs.n_atoms) center = -1;
            if (fill_pairs(pairs, species, target, n_species, row, center, single, mine)) lost = 1;
            if (kinds.empty()) return;
            const std::int32_t* counts = target.counts + row * static_cast<std::int64_t>(n_species);
            collect_near(
                pairs, mine, [&](std::size_t b) { return target.columns[b]; },
                [&](std::size_t b) { return counts[b]; });
            for (const TripleTarget* kind : kinds) {
                if (fill_triples(*kind, row, mine)) lost = 1;
            }
        });
    }
    return std::find(overflow.begin(), overflow.end(), 1) != overflow.end();
}

RowCounts count_rows(const Pairs& pairs, const std::int32_t* species, std::int32_t n_species,
                     const std::vector<Kind>& kinds, double triple_cutoff, bool closed, int threads) {
    if (n_species < 0) {
        throw std::invalid_argument("`n_species` must not be negative, got " + std::to_string(n_species));
    }
    check_species(pairs, species, n_species);
    check_triples(pairs, triple_cutoff, {0, 0, 0}, 1);
    for (const Kind& kind : kinds) check_triples(pairs, triple_cutoff, kind, n_species);
    const auto n = static_cast<std::size_t>(n_species);
    const bool no_triples = kinds.empty() || triple_cutoff == 0;
    if (no_triples && is_single(pairs, species, n)) {
        return {{to_capacity(most_pairs(pairs))}, std::vector<std::int32_t>(kinds.size())};
    }
    threads = thread_count(threads, pairs.n_atoms, 512);

    struct Worker {
        Scratch scratch;
        std::vector<std::int64_t> begin, count, pair_max, triple_max;
    };
    std::vector<Worker> workers(static_cast<std::size_t>(threads),
                                Worker{Scratch(most_pairs(pairs), n_species, triple_cutoff, closed),
                                       std::vector<std::int64_t>(n), std::vector<std::int64_t>(n),
                                       std::vector<std::int64_t>(n * n), std::vector<std::int64_t>(kinds.size())});
    parallel_for(pairs.n_atoms, threads, 16, [&](std::int64_t i, int thread) {
        if (species[i] < 0) return;
        Worker& mine = workers[static_cast<std::size_t>(thread)];
        std::fill(mine.count.begin(), mine.count.end(), 0);
        for (std::int64_t p = pairs.offsets[i]; p < pairs.offsets[i + 1]; ++p) {
            const std::int32_t b = species[pairs.j[p]];
            if (b >= 0) ++mine.count[static_cast<std::size_t>(b)];
        }
        std::int64_t* most = mine.pair_max.data() + static_cast<std::size_t>(species[i]) * n;
        std::int64_t next = 0;
        for (std::size_t b = 0; b < n; ++b) {
            most[b] = std::max(most[b], mine.count[b]);
            mine.begin[b] = next;
            next += mine.count[b];
        }
        if (no_triples) return;

        std::fill(mine.count.begin(), mine.count.end(), 0);
        for (std::int64_t p = pairs.offsets[i]; p < pairs.offsets[i + 1]; ++p) {
            if (species[pairs.j[p]] < 0) continue;
            const auto b = static_cast<std::size_t>(species[pairs.j[p]]);
            mine.scratch.pair[static_cast<std::size_t>(mine.begin[b] + mine.count[b]++)] = p;
        }
        collect_near(
            pairs, mine.scratch, [&](std::size_t b) { return mine.begin[b]; },
            [&](std::size_t b) { return mine.count[b]; });
        for (std::size_t m = 0; m < kinds.size(); ++m) {
            if (kinds[m][0] != species[i]) continue;
            std::int64_t count = 0;
            combine(mine.scratch, kinds[m], [&](std::int64_t a, std::int64_t begin, std::int64_t end) {
                count += mine.scratch.near.count_joined(a, begin, end);
            });
            mine.triple_max[m] = std::max(mine.triple_max[m], count);
        }
    });

    RowCounts result{std::vector<std::int32_t>(n * n), std::vector<std::int32_t>(kinds.size())};
    for (const Worker& worker : workers) {
        for (std::size_t k = 0; k < n * n; ++k) {
            result.pair_max[k] = std::max(result.pair_max[k], to_capacity(worker.pair_max[k]));
        }
        for (std::size_t m = 0; m < kinds.size(); ++m) {
            result.triple_max[m] = std::max(result.triple_max[m], to_capacity(worker.triple_max[m]));
        }
    }
    return result;
}

}  // namespace miniffx
