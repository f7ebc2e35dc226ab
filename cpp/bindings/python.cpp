// The module miniffx._core: checks what comes from Python, releases the GIL, and hands memory over without
// copying.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "miniffx/pairs.hpp"
#include "miniffx/parallel.hpp"
#include "miniffx/rows.hpp"
#include "miniffx/triples.hpp"
#include "xla.hpp"

namespace py = pybind11;

namespace {

using miniffx::Buffer;
using Kind = std::array<std::int32_t, 3>;
using Shape = std::vector<py::ssize_t>;  // -1: any length

template <class T>
const char* name_of();
template <>
const char* name_of<double>() {
    return "float64";
}
template <>
const char* name_of<std::int32_t>() {
    return "int32";
}

std::string text_of(const py::handle& object) { return py::str(object).cast<std::string>(); }

std::string text_of(const Shape& shape, const std::string& any) {
    std::string text = "[";
    for (std::size_t k = 0; k < shape.size(); ++k) {
        text += (k == 0 ? "" : ", ") + (shape[k] < 0 ? any : std::to_string(shape[k]));
    }
    return text + "]";
}

// The object as an array of exactly this type and shape; nothing is converted. `any` names the free length.
template <class T>
py::array_t<T> checked(const py::object& object, const std::string& name, const Shape& shape,
                       const std::string& any = "n") {
    std::string received;
    if (py::isinstance<py::array>(object)) {
        const auto array = py::reinterpret_borrow<py::array>(object);
        bool fits = py::isinstance<py::array_t<T, py::array::c_style>>(object) &&
                    array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
                    (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
        for (std::size_t k = 0; fits && k < shape.size(); ++k) {
            fits = shape[k] < 0 || array.shape(static_cast<py::ssize_t>(k)) == shape[k];
        }
        if (fits) return py::reinterpret_borrow<py::array_t<T>>(object);
        const Shape actual(array.shape(), array.shape() + array.ndim());
        const bool contiguous = (array.flags() & py::array::c_style) != 0;
        received = text_of(array.dtype()) + " " + text_of(actual, any) + (contiguous ? "" : ", not contiguous");
    } else {
        received = text_of(py::type::handle_of(object).attr("__name__"));
    }
    throw py::value_error("`" + name + "` must be a contiguous " + name_of<T>() + " array of shape " +
                          text_of(shape, any) + ", got " + received);
}

std::array<bool, 3> checked_pbc(const py::object& object) {
    bool valid = py::isinstance<py::sequence>(object) && py::len(object) == 3;
    std::array<bool, 3> pbc{};
    for (std::size_t k = 0; valid && k < 3; ++k) {
        const py::object item = object[py::int_(k)];
        const int truth = PyObject_IsTrue(item.ptr());
        if (truth < 0) {
            PyErr_Clear();
            valid = false;
        }
        pbc[k] = truth == 1;
    }
    if (!valid) throw py::value_error("`pbc` must be three booleans, got " + text_of(py::repr(object)));
    return pbc;
}

// `species` [b, n] as a pointer. The values are checked from below; the core checks them from above.
const std::int32_t* checked_species(const py::object& object, py::ssize_t n_structures, py::ssize_t n_atoms) {
    const auto array = checked<std::int32_t>(object, "species", {n_structures, n_atoms});
    for (py::ssize_t i = 0; i < array.size(); ++i) {
        if (array.data()[i] >= -1) continue;
        throw py::value_error("`species` must be indices from 0, or -1 for atoms to ignore, got " +
                              std::to_string(array.data()[i]) + " for atom " + std::to_string(i % n_atoms));
    }
    return array.data();
}

void check_n_species(py::ssize_t n_species) {
    constexpr py::ssize_t kMost = 1 << 15;
    if (n_species >= 0 && n_species <= kMost) return;
    throw py::value_error("`n_species` must be between 0 and " + std::to_string(kMost) + ", got " +
                          std::to_string(n_species));
}

// An array over the buffer's memory, which lives as long as the array.
template <class T>
py::array_t<T> give(Buffer<T>&& buffer, const Shape& shape = {}) {
    auto owned = std::make_unique<Buffer<T>>(std::move(buffer));
    Buffer<T>* raw = owned.get();
    const py::capsule owner(raw, [](void* memory) { delete static_cast<Buffer<T>*>(memory); });
    owned.release();
    return py::array_t<T>(shape.empty() ? Shape{raw->size()} : shape, raw->data(), owner);
}

// An uninitialized array whose memory JAX can take over as it is.
py::array_t<std::int32_t> blank(const Shape& shape) {
    std::int64_t size = 1;
    for (const py::ssize_t n : shape) size *= n;
    return give(Buffer<std::int32_t>(size), shape);
}

// A read-only view of memory that belongs to `owner`: the core reads it again and trusts its indices.
template <class T>
py::array_t<T> view(const Buffer<T>& buffer, const Shape& shape, const py::object& owner) {
    py::array_t<T> array(shape, buffer.data(), owner);
    array.attr("setflags")(py::arg("write") = false);
    return array;
}

// What a search found in each of a batch of structures of n_atoms, for Python to pass on.
struct Found {
    std::int64_t n_atoms;
    std::vector<miniffx::Neighbors> of;

    py::ssize_t size() const { return static_cast<py::ssize_t>(of.size()); }
};

Found find_neighbors(const py::object& positions, const py::object& cells, const py::object& pbc, double cutoff,
                     const py::object& species, int threads) {
    const auto positions_array = checked<double>(positions, "positions", {-1, -1, 3});
    const py::ssize_t n_structures = positions_array.shape(0), n_atoms = positions_array.shape(1);
    const auto cells_array = checked<double>(cells, "cells", {n_structures, 3, 3});
    const auto periodic = checked_pbc(pbc);
    const std::int32_t* species_data = checked_species(species, n_structures, n_atoms);
    const double* positions_data = positions_array.data();
    const double* cells_data = cells_array.data();
    Found found{n_atoms, std::vector<miniffx::Neighbors>(static_cast<std::size_t>(n_structures))};
    const py::gil_scoped_release unlocked;
    miniffx::for_each_structure(n_structures, n_atoms, threads, [&](std::int64_t s, int some) {
        found.of[static_cast<std::size_t>(s)] =
            miniffx::find_neighbors(n_atoms, positions_data + 3 * s * n_atoms, cells_data + 9 * s, periodic.data(),
                                    cutoff, species_data + s * n_atoms, some);
    });
    return found;
}

miniffx::Pairs find_pairs(const py::object& positions, const py::object& cell, const py::object& pbc, double cutoff,
                          int threads) {
    const auto positions_array = checked<double>(positions, "positions", {-1, 3});
    const auto cell_array = checked<double>(cell, "cell", {3, 3});
    const auto periodic = checked_pbc(pbc);
    const py::ssize_t n_atoms = positions_array.shape(0);
    const double* positions_data = positions_array.data();
    const double* cell_data = cell_array.data();
    const py::gil_scoped_release unlocked;
    return miniffx::list_pairs(miniffx::find_neighbors(n_atoms, positions_data, cell_data, periodic.data(), cutoff,
                                                       nullptr, threads, miniffx::kPairBytes),
                               threads);
}

py::tuple find_triples(const miniffx::Pairs& pairs, double cutoff, bool closed, int threads) {
    miniffx::Triples triples;
    {
        const py::gil_scoped_release unlocked;
        triples = miniffx::find_triples(pairs, cutoff, closed, threads);
    }
    return py::make_tuple(give(std::move(triples.first)), give(std::move(triples.second)));
}

// Where the memory of the structures' part of an array begins.
std::int32_t* part(std::int32_t* data, std::int64_t structure, std::int64_t size) { return data + structure * size; }

py::tuple list_centers(const py::object& species, const std::vector<std::int64_t>& rows) {
    const auto array = checked<std::int32_t>(species, "species", {-1, -1});
    const std::int64_t n_structures = array.shape(0), n_atoms = array.shape(1);
    py::list arrays;
    std::vector<std::int32_t*> data;
    double numbers = 0;
    for (const std::int64_t size : rows) {
        if (size < 0) throw py::value_error("`rows` must not be negative, got " + std::to_string(size));
        numbers += static_cast<double>(n_structures) * static_cast<double>(size);
        miniffx::require_memory(sizeof(std::int32_t) * numbers, "A padded list of centres");
        py::array_t<std::int32_t> centers = blank({n_structures, size});
        data.push_back(centers.mutable_data());
        arrays.append(centers);
    }
    std::vector<std::int64_t> most(rows.size(), 0);
    for (std::int64_t s = 0; s < n_structures; ++s) {
        std::vector<std::int32_t*> mine;
        for (std::size_t a = 0; a < rows.size(); ++a) mine.push_back(part(data[a], s, rows[a]));
        const auto counts = miniffx::list_centers(n_atoms, array.data() + s * n_atoms, rows, mine);
        for (std::size_t a = 0; a < rows.size(); ++a) most[a] = std::max(most[a], counts[a]);
    }
    return py::make_tuple(arrays, most);
}

py::tuple count_rows(const Found& found, const py::object& species, py::ssize_t n_species, double triple_cutoff,
                     bool closed, const std::vector<Kind>& kinds, int threads) {
    check_n_species(n_species);
    const std::int32_t* species_data = checked_species(species, found.size(), found.n_atoms);
    const auto n = static_cast<std::size_t>(n_species);
    miniffx::RowCounts most{std::vector<std::int32_t>(n), std::vector<std::int32_t>(n * n),
                            std::vector<std::int32_t>(kinds.size())};
    {
        const py::gil_scoped_release unlocked;
        std::vector<miniffx::RowCounts> counts(found.of.size());
        miniffx::for_each_structure(found.size(), found.n_atoms, threads, [&](std::int64_t s, int some) {
            const auto place = static_cast<std::size_t>(s);
            counts[place] =
                miniffx::count_rows(found.of[place], species_data + s * found.n_atoms,
                                    static_cast<std::int32_t>(n_species), kinds, triple_cutoff, closed, some);
        });
        const auto raise = [](std::vector<std::int32_t>& values, const std::vector<std::int32_t>& others) {
            for (std::size_t k = 0; k < values.size(); ++k) values[k] = std::max(values[k], others[k]);
        };
        for (const miniffx::RowCounts& one : counts) {
            raise(most.rows, one.rows);
            raise(most.pair_max, one.pair_max);
            raise(most.triple_max, one.triple_max);
        }
    }
    std::vector<std::vector<std::int32_t>> pair_max;
    for (auto row = most.pair_max.begin(); row != most.pair_max.end(); row += n_species) {
        pair_max.emplace_back(row, row + n_species);
    }
    return py::make_tuple(most.rows, pair_max, most.triple_max);
}

py::tuple fill_rows(const Found& found, const py::object& species, py::ssize_t n_species, const py::object& centers,
                    const std::vector<std::vector<std::int32_t>>& columns, double triple_cutoff, bool closed,
                    const std::vector<Kind>& kinds, const std::vector<std::int32_t>& capacities, int threads) {
    using Ints = py::array_t<std::int32_t>;
    check_n_species(n_species);
    const py::ssize_t n_structures = found.size();
    const std::int32_t* species_data = checked_species(species, n_structures, found.n_atoms);
    const auto n = static_cast<std::size_t>(n_species);
    if (columns.size() != n ||
        std::any_of(columns.begin(), columns.end(), [n](const auto& row) { return row.size() != n + 1; })) {
        throw py::value_error("`columns` must have " + std::to_string(n + 1) + " offsets for each of " +
                              std::to_string(n) + " species");
    }
    if (capacities.size() != kinds.size()) {
        throw py::value_error("`triple_capacity` must have " + std::to_string(kinds.size()) + " numbers, got " +
                              std::to_string(capacities.size()));
    }
    if (!py::isinstance<py::sequence>(centers) || py::isinstance<py::array>(centers) ||
        static_cast<py::ssize_t>(py::len(centers)) != n_species) {
        throw py::value_error("`centers` must be a list of " + std::to_string(n_species) +
                              " int32 arrays, one per species, got " +
                              text_of(py::type::handle_of(centers).attr("__name__")));
    }

    std::vector<Ints> keep;
    double per_structure = 0;  // numbers
    for (py::ssize_t a = 0; a < n_species; ++a) {
        keep.push_back(
            checked<std::int32_t>(centers[py::int_(a)], "centers[" + std::to_string(a) + "]", {n_structures, -1}));
        double per_row = static_cast<double>(n_species + 4 * std::int64_t{columns[static_cast<std::size_t>(a)].back()});
        for (std::size_t m = 0; m < kinds.size(); ++m) {
            if (kinds[m][0] == a) per_row += 1 + 2 * static_cast<double>(capacities[m]);
        }
        per_structure += per_row * static_cast<double>(keep.back().shape(1));
    }
    miniffx::require_memory(sizeof(std::int32_t) * per_structure * static_cast<double>(n_structures),
                            "A padded list of pairs and triples");

    std::vector<miniffx::RowTarget> rows;  // of the first structure
    py::list row_arrays, triple_arrays;
    for (py::ssize_t a = 0; a < n_species; ++a) {
        const Ints& centers_array = keep[static_cast<std::size_t>(a)];
        const std::int32_t* offsets = columns[static_cast<std::size_t>(a)].data();
        const py::ssize_t width = offsets[n_species], n_rows = centers_array.shape(1);
        if (width < 0) throw py::value_error("`columns` must not be negative, got " + std::to_string(width));
        Ints neighbors = blank({n_structures, n_rows, width});
        Ints shifts = blank({n_structures, n_rows, width, 3});
        Ints counts = blank({n_structures, n_rows, n_species});
        rows.push_back({n_rows, centers_array.data(), offsets, neighbors.mutable_data(), shifts.mutable_data(),
                        counts.mutable_data()});
        row_arrays.append(py::make_tuple(neighbors, shifts, counts));
    }
    std::vector<miniffx::TripleTarget> triples;
    for (std::size_t m = 0; m < kinds.size(); ++m) {
        const py::ssize_t capacity = capacities[m];
        if (capacity < 0) {
            throw py::value_error("`triple_capacity` must not be negative, got " + std::to_string(capacity));
        }
        if (kinds[m][0] < 0 || kinds[m][0] >= n_species) {
            throw py::value_error("`triple_kinds` must start with a species below " + std::to_string(n_species) +
                                  ", got " + std::to_string(kinds[m][0]));
        }
        const py::ssize_t n_rows = rows[static_cast<std::size_t>(kinds[m][0])].n_rows;
        Ints first = blank({n_structures, n_rows, capacity}), second = blank({n_structures, n_rows, capacity}),
             count = blank({n_structures, n_rows});
        triples.push_back({kinds[m], capacity, first.mutable_data(), second.mutable_data(), count.mutable_data()});
        triple_arrays.append(py::make_tuple(first, second, count));
    }

    py::array_t<bool> overflow(Shape{n_structures});
    bool* const overflowed = overflow.mutable_data();
    {
        const py::gil_scoped_release unlocked;
        miniffx::for_each_structure(n_structures, found.n_atoms, threads, [&](std::int64_t s, int some) {
            std::vector<miniffx::RowTarget> my_rows = rows;
            for (miniffx::RowTarget& target : my_rows) {
                const std::int64_t width = target.columns[n_species];
                target.centers += s * target.n_rows;
                target.neighbors = part(target.neighbors, s, target.n_rows * width);
                target.shifts = part(target.shifts, s, target.n_rows * width * 3);
                target.counts = part(target.counts, s, target.n_rows * n_species);
            }
            std::vector<miniffx::TripleTarget> my_triples = triples;
            for (miniffx::TripleTarget& target : my_triples) {
                const std::int64_t n_rows = rows[static_cast<std::size_t>(target.kind[0])].n_rows;
                target.first = part(target.first, s, n_rows * target.capacity);
                target.second = part(target.second, s, n_rows * target.capacity);
                target.count = part(target.count, s, n_rows);
            }
            overflowed[s] = miniffx::fill_rows(found.of[static_cast<std::size_t>(s)], species_data + s * found.n_atoms,
                                               my_rows, my_triples, triple_cutoff, closed, some);
        });
    }
    return py::make_tuple(row_arrays, triple_arrays, overflow);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
    using miniffx::Pairs;
    module.doc() = "The compiled neighbour core of miniffx. Conventions: cpp/include/miniffx/pairs.hpp";
    module.attr("has_openmp") = miniffx::has_openmp();
    module.attr("xla_ffi_version") = miniffx::xla_ffi_version();
    module.def(
        "xla_update_handler", [] { return py::capsule(miniffx::xla_update_handler()); },
        "The handler behind a neighbour list's update inside jit, for jax.ffi.register_ffi_target.");
    module.def("max_threads", &miniffx::max_threads, "Threads used when `threads` is 0.");

    const auto self_view = [](auto member, py::ssize_t columns) {
        return [member, columns](const py::object& self) {
            const auto& buffer = self.cast<const Pairs&>().*member;
            if (columns == 1) return view(buffer, Shape{buffer.size()}, self);
            return view(buffer, Shape{buffer.size() / columns, columns}, self);
        };
    };
    py::class_<Pairs>(module, "PairList", "All pairs within a cutoff, sorted by the first atom. Arrays are read-only.")
        .def_readonly("n_atoms", &Pairs::n_atoms)
        .def_readonly("cutoff", &Pairs::cutoff)
        .def_property_readonly("n_pairs", &Pairs::size)
        .def_property_readonly("offsets", self_view(&Pairs::offsets, 1))
        .def_property_readonly("i", self_view(&Pairs::i, 1))
        .def_property_readonly("j", self_view(&Pairs::j, 1))
        .def_property_readonly("shift", self_view(&Pairs::shift, 3))
        .def_property_readonly("vectors", self_view(&Pairs::vector, 3));

    py::class_<Found>(module, "Neighbors", "What a search found in a batch, before it is written out as rows.");

    module.def("find_pairs", &find_pairs, py::arg("positions"), py::arg("cell"), py::arg("pbc"), py::arg("cutoff"),
               py::arg("threads") = 0, "All ordered pairs (i, j, shift) with |r_j + shift . cell - r_i| < cutoff.");
    module.def("find_neighbors", &find_neighbors, py::arg("positions"), py::arg("cells"), py::arg("pbc"),
               py::arg("cutoff"), py::arg("species"), py::arg("threads") = 0,
               "The same in a batch, for count_rows and fill_rows; atoms whose species is negative are left out.");
    module.def("find_triples", &find_triples, py::arg("pairs"), py::arg("cutoff"), py::arg("closed"),
               py::arg("threads") = 0, "Two pair indices for every two neighbours of a centre within the cutoff.");
    module.def("list_centers", &list_centers, py::arg("species"), py::arg("rows"),
               "The atoms of each species [b, rows], n_atoms where there are no more, and the most of each in any.");
    module.def("count_rows", &count_rows, py::arg("neighbors"), py::arg("species"), py::arg("n_species"),
               py::arg("triple_cutoff"), py::arg("closed"), py::arg("triple_kinds"), py::arg("threads") = 0,
               "The row capacities that just suffice for all: pair_max [S, S] and triple_max [m].");
    module.def("fill_rows", &fill_rows, py::arg("neighbors"), py::arg("species"), py::arg("n_species"),
               py::arg("centers"), py::arg("columns"), py::arg("triple_cutoff"), py::arg("closed"),
               py::arg("triple_kinds"), py::arg("triple_capacity"), py::arg("threads") = 0,
               "Padded rows per centre species and triples per kind, and [b] whether something did not fit.");
}
