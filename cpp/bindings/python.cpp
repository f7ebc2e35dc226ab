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
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "miniffx/capacity.hpp"
#include "miniffx/pairs.hpp"
#include "miniffx/parallel.hpp"
#include "miniffx/rows.hpp"
#include "miniffx/triples.hpp"
#include "xla.hpp"

namespace py = pybind11;

namespace {

using miniffx::Buffer;
using Kind = std::array<std::int32_t, 3>;
// Of a miniffx::Capacity, as Python gives them.
using Sizes = std::tuple<std::vector<std::int64_t>, std::vector<std::vector<std::int32_t>>,
                         std::vector<std::vector<std::int32_t>>>;
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

// An array over the buffer's memory, which lives as long as the array.
template <class T>
py::array_t<T> give(Buffer<T>&& buffer, const Shape& shape = {}) {
    auto owned = std::make_unique<Buffer<T>>(std::move(buffer));
    Buffer<T>* raw = owned.get();
    const py::capsule owner(raw, [](void* memory) { delete static_cast<Buffer<T>*>(memory); });
    owned.release();
    return py::array_t<T>(shape.empty() ? Shape{raw->size()} : shape, raw->data(), owner);
}

// A read-only view of memory that belongs to `owner`: the core reads it again and trusts its indices.
template <class T>
py::array_t<T> view(const Buffer<T>& buffer, const Shape& shape, const py::object& owner) {
    py::array_t<T> array(shape, buffer.data(), owner);
    py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
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

// Whole numbers as a tuple, and rows of them as a tuple of tuples.
template <class T>
py::tuple tuple_of(const std::vector<T>& values) {
    py::tuple result(values.size());
    for (std::size_t k = 0; k < values.size(); ++k) result[k] = py::int_(values[k]);
    return result;
}

template <class T>
py::tuple tuple_of(const std::vector<std::vector<T>>& rows) {
    py::tuple result(rows.size());
    for (std::size_t k = 0; k < rows.size(); ++k) result[k] = tuple_of(rows[k]);
    return result;
}

py::tuple tuple_of(const miniffx::Capacity& capacity) {
    return py::make_tuple(tuple_of(capacity.rows), tuple_of(capacity.columns), tuple_of(capacity.triples));
}

// What a search found in a structure, or in each of a batch, and what of it a padded list is to hold.
class Found {
  public:
    Found(const py::object& positions, const py::object& cells, const py::object& pbc, double cutoff,
          const py::object& species, py::ssize_t n_species, double triple_cutoff, bool closed, std::vector<Kind> kinds,
          int threads)
        : is_batch_(!py::isinstance<py::array>(positions) || py::reinterpret_borrow<py::array>(positions).ndim() != 2),
          n_species_(n_species),
          triple_cutoff_(triple_cutoff),
          closed_(closed),
          kinds_(std::move(kinds)),
          threads_(threads) {
        const auto positions_array =
            checked<double>(positions, "positions", is_batch_ ? Shape{-1, -1, 3} : Shape{-1, 3});
        n_structures_ = is_batch_ ? positions_array.shape(0) : 1;
        n_atoms_ = positions_array.shape(is_batch_ ? 1 : 0);
        const auto cells_array = checked<double>(cells, "cells", shape_of({3, 3}));
        const auto periodic = checked_pbc(pbc);
        species_ = checked<std::int32_t>(species, "species", shape_of({n_atoms_}));
        check_species();
        check_kinds();
        const double* const positions_data = positions_array.data();
        const double* const cells_data = cells_array.data();
        of_.resize(static_cast<std::size_t>(n_structures_));
        const py::gil_scoped_release unlocked;
        for_each_structure([&](std::int64_t s, std::size_t place, int some) {
            of_[place] = miniffx::find_neighbors(n_atoms_, positions_data + 3 * s * n_atoms_, cells_data + 9 * s,
                                                 periodic.data(), cutoff, species_of(s), some);
        });
    }

    // The sizes that hold all of it.
    miniffx::Capacity capacity() const {
        const py::gil_scoped_release unlocked;
        std::vector<miniffx::RowCounts> counts(of_.size());
        for_each_structure([&](std::int64_t s, std::size_t place, int some) {
            counts[place] = miniffx::count_rows(of_[place], species_of(s), static_cast<std::int32_t>(n_species_),
                                                kinds_, triple_cutoff_, closed_, some);
        });
        const auto n = static_cast<std::size_t>(n_species_);
        miniffx::RowCounts most{std::vector<std::int32_t>(n), std::vector<std::int32_t>(n * n),
                                std::vector<std::int32_t>(kinds_.size())};
        const auto raise = [](std::vector<std::int32_t>& values, const std::vector<std::int32_t>& others) {
            for (std::size_t k = 0; k < values.size(); ++k) values[k] = std::max(values[k], others[k]);
        };
        for (const miniffx::RowCounts& one : counts) {
            raise(most.rows, one.rows);
            raise(most.pair_max, one.pair_max);
            raise(most.triple_max, one.triple_max);
        }
        return miniffx::capacity_for(most, n_atoms_, kinds_);
    }

    // Centres, rows and slots in arrays of these sizes, by default those that hold all of it; whether they did not
    // suffice; and the sizes.
    py::tuple fill(const std::optional<Sizes>& sizes) const {
        const miniffx::Capacity capacity =
            sizes ? miniffx::Capacity{std::get<0>(*sizes), std::get<1>(*sizes), std::get<2>(*sizes)} : this->capacity();
        check(capacity);
        const auto n = static_cast<std::size_t>(n_species_);
        py::list center_arrays, row_arrays, triple_arrays;
        std::vector<std::int32_t*> centers;
        std::vector<miniffx::RowTarget> rows;  // of the first structure
        for (std::size_t a = 0; a < n; ++a) {
            const std::int32_t* const offsets = capacity.columns[a].data();
            const py::ssize_t width = offsets[n], n_rows = capacity.rows[a];
            Ints of_species = blank({n_rows}), neighbors = blank({n_rows, width}), shifts = blank({n_rows, width, 3}),
                 counts = blank({n_rows, n_species_});
            centers.push_back(of_species.mutable_data());
            rows.push_back({n_rows, centers.back(), offsets, neighbors.mutable_data(), shifts.mutable_data(),
                            counts.mutable_data()});
            center_arrays.append(of_species);
            row_arrays.append(py::make_tuple(neighbors, shifts, counts));
        }
        std::vector<miniffx::TripleTarget> triples;
        std::vector<std::size_t> next(n, 0);
        for (const Kind& kind : kinds_) {
            const auto a = static_cast<std::size_t>(kind[0]);
            const py::ssize_t n_rows = capacity.rows[a], size = capacity.triples[a][next[a]++];
            Ints first = blank({n_rows, size}), second = blank({n_rows, size}), count = blank({n_rows});
            triples.push_back({kind, size, first.mutable_data(), second.mutable_data(), count.mutable_data()});
            triple_arrays.append(py::make_tuple(first, second, count));
        }
        py::array_t<bool> overflow(shape_of({}));
        bool* const overflowed = overflow.mutable_data();
        {
            const py::gil_scoped_release unlocked;
            for_each_structure([&](std::int64_t s, std::size_t place, int some) {
                overflowed[s] = fill_structure(s, of_[place], capacity, centers, rows, triples, some);
            });
        }
        return py::make_tuple(center_arrays, row_arrays, triple_arrays, overflow, tuple_of(capacity));
    }

  private:
    using Ints = py::array_t<std::int32_t>;

    // The shape of an array with `one` for each structure.
    Shape shape_of(Shape one) const {
        if (is_batch_) one.insert(one.begin(), n_structures_);
        return one;
    }

    // An uninitialized array whose memory JAX can take over as it is.
    Ints blank(const Shape& one) const {
        std::int64_t size = n_structures_;
        for (const py::ssize_t n : one) size *= n;
        return give(Buffer<std::int32_t>(size), shape_of(one));
    }

    const std::int32_t* species_of(std::int64_t structure) const { return species_.data() + structure * n_atoms_; }

    template <class Body>
    void for_each_structure(const Body& body) const {
        miniffx::for_each_structure(n_structures_, n_atoms_, threads_,
                                    [&](std::int64_t s, int some) { body(s, static_cast<std::size_t>(s), some); });
    }

    // Fills the part of the arrays that belongs to structure `s`. Returns whether something did not fit.
    bool fill_structure(std::int64_t s, const miniffx::Neighbors& neighbors, const miniffx::Capacity& capacity,
                        std::vector<std::int32_t*> centers, std::vector<miniffx::RowTarget> rows,
                        std::vector<miniffx::TripleTarget> triples, int threads) const {
        const auto move = [s](std::int32_t*& data, std::int64_t size) { data += s * size; };
        for (miniffx::TripleTarget& target : triples) {
            const std::int64_t n_rows = rows[static_cast<std::size_t>(target.kind[0])].n_rows;
            move(target.first, n_rows * target.capacity);
            move(target.second, n_rows * target.capacity);
            move(target.count, n_rows);
        }
        for (std::size_t a = 0; a < rows.size(); ++a) {
            miniffx::RowTarget& target = rows[a];
            const std::int64_t width = target.columns[n_species_];
            move(centers[a], target.n_rows);
            target.centers = centers[a];
            move(target.neighbors, target.n_rows * width);
            move(target.shifts, target.n_rows * width * 3);
            move(target.counts, target.n_rows * n_species_);
        }
        const auto counts = miniffx::list_centers(n_atoms_, species_of(s), capacity.rows, centers);
        bool overflow = false;
        for (std::size_t a = 0; a < counts.size(); ++a) overflow = overflow || counts[a] > capacity.rows[a];
        return miniffx::fill_rows(neighbors, species_of(s), rows, triples, triple_cutoff_, closed_, threads) ||
               overflow;
    }

    // The values are checked from below; the core checks them from above.
    void check_species() const {
        for (py::ssize_t i = 0; i < species_.size(); ++i) {
            if (species_.data()[i] >= -1) continue;
            throw py::value_error("`species` must be indices from 0, or -1 for atoms to ignore, got " +
                                  std::to_string(species_.data()[i]) + " for atom " + std::to_string(i % n_atoms_));
        }
    }

    void check_kinds() const {
        constexpr py::ssize_t kMost = 1 << 15;
        if (n_species_ < 0 || n_species_ > kMost) {
            throw py::value_error("`n_species` must be between 0 and " + std::to_string(kMost) + ", got " +
                                  std::to_string(n_species_));
        }
        for (std::size_t m = 0; m < kinds_.size(); ++m) {
            if (0 <= kinds_[m][0] && kinds_[m][0] < n_species_ && (m == 0 || kinds_[m - 1][0] <= kinds_[m][0]))
                continue;
            throw py::value_error("`triple_kinds` must start with species below " + std::to_string(n_species_) +
                                  " in ascending order, got " + std::to_string(kinds_[m][0]));
        }
    }

    // Whether the sizes are for these species and triples, and the arrays fit into memory.
    void check(const miniffx::Capacity& capacity) const {
        const auto n = static_cast<std::size_t>(n_species_);
        std::vector<std::size_t> kinds_of(n, 0);
        for (const Kind& kind : kinds_) ++kinds_of[static_cast<std::size_t>(kind[0])];
        bool fits = capacity.rows.size() == n && capacity.columns.size() == n && capacity.triples.size() == n;
        double numbers = 0;  // of one structure
        for (std::size_t a = 0; fits && a < n; ++a) {
            const auto& columns = capacity.columns[a];
            const auto& triples = capacity.triples[a];
            fits = capacity.rows[a] >= 0 && columns.size() == n + 1 && columns.back() >= 0 &&
                   triples.size() == kinds_of[a] &&
                   std::all_of(triples.begin(), triples.end(), [](std::int32_t size) { return size >= 0; });
            if (!fits) break;
            double per_row = static_cast<double>(1 + n) + 4.0 * columns.back();
            for (const std::int32_t size : triples) per_row += 1 + 2.0 * size;
            numbers += per_row * static_cast<double>(capacity.rows[a]);
        }
        if (!fits) {
            throw py::value_error("`capacity` must have sizes that are not negative, for " +
                                  std::to_string(n_species_) + " species and " + std::to_string(kinds_.size()) +
                                  " kinds of triples");
        }
        miniffx::require_memory(sizeof(std::int32_t) * numbers * static_cast<double>(n_structures_),
                                "A padded list of pairs and triples");
    }

    bool is_batch_;
    py::ssize_t n_species_, n_structures_ = 0, n_atoms_ = 0;
    Ints species_;
    double triple_cutoff_;
    bool closed_;
    std::vector<Kind> kinds_;
    int threads_;
    std::vector<miniffx::Neighbors> of_;
};

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

    py::class_<Found>(
        module, "Found",
        "The pairs of a structure or of each of a batch, for a padded list; atoms whose species is negative "
        "are left out.")
        .def(py::init<const py::object&, const py::object&, const py::object&, double, const py::object&, py::ssize_t,
                      double, bool, std::vector<Kind>, int>(),
             py::arg("positions"), py::arg("cells"), py::arg("pbc"), py::arg("cutoff"), py::arg("species"),
             py::arg("n_species"), py::arg("triple_cutoff"), py::arg("closed"), py::arg("triple_kinds"),
             py::arg("threads") = 0)
        .def(
            "capacity", [](const Found& self) { return tuple_of(self.capacity()); },
            "The sizes that hold all pairs and triples, in buckets: rows, columns, triples.")
        .def("fill", &Found::fill, py::arg("capacity") = py::none(),
             "Centres and rows per species, slots per kind of triple, whether something did not fit, and the sizes.");

    module.def("bucket", &miniffx::bucket, py::arg("count"), "The size of an array for `count` entries.");
    module.def("find_pairs", &find_pairs, py::arg("positions"), py::arg("cell"), py::arg("pbc"), py::arg("cutoff"),
               py::arg("threads") = 0, "All ordered pairs (i, j, shift) with |r_j + shift . cell - r_i| < cutoff.");
    module.def("find_triples", &find_triples, py::arg("pairs"), py::arg("cutoff"), py::arg("closed"),
               py::arg("threads") = 0, "Two pair indices for every two neighbours of a centre within the cutoff.");
}
