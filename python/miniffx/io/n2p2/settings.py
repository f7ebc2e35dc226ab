"""input.nn: keywords with values, one per line; everything after # or ! is a comment."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ONCE = _words(
    """
    number_of_elements elements cutoff_type scale_symmetry_functions scale_symmetry_functions_sigma
    center_symmetry_functions scale_min_short scale_max_short global_hidden_layers_short global_nodes_short
    global_activation_short normalize_nodes mean_energy conv_energy conv_length nnp_type nn_type_short
    """
)
OFTEN = _words("symfunction_short atom_energy element_hidden_layers_short element_nodes_short element_activation_short")
# What n2p2 and RuNNer read to train, to select data, to report: nothing of it changes a prediction.
IGNORED = _words(
    """
    analyze_composition analyze_error analyze_error_energy_step analyze_error_force_step biasweights_max
    biasweights_min bond_threshold calculate_forces calculate_hessian calculate_stress charge_fraction check_forces
    check_input_forces conv_charge data_clustering debug_mode decoupling_type detailed_timing detailed_timing_epoch
    detect_saturation dynamic_force_grouping element_decoupled_kalman energy_fraction energy_threshold
    environment_analysis epochs find_contradictions fitting_unit force_energy_ratio force_fraction
    force_grouping_by_structure force_threshold force_update_scaling force_weight gradient_adam_beta1
    gradient_adam_beta2 gradient_adam_epsilon gradient_adam_eta gradient_eta gradient_type growth_mode
    initialization_only jacobian_mode joint_energy_force_update kalman_damp_force kalman_damp_short kalman_epsilon
    kalman_eta kalman_etamax kalman_etatau kalman_lambda_short kalman_nue_short kalman_q0 kalman_qmin kalman_qtau
    kalman_type main_error_metric max_energy max_force memorize_symfunc_results mix_all_points
    nguyen_widrow_weights_charge nguyen_widrow_weights_short noise_energy noise_force normalize_data_set
    optmode_short_energy optmode_short_force parallel_mode points_in_memory precondition_weights
    print_all_short_weights print_convergence_vector print_date_and_time print_force_components print_mad
    random_number_type random_order_training random_seed read_kalman_matrices regularize_fit_param remove_atom_energies
    repeated_energy_update reset_kalman restrict_weights rmse_threshold rmse_threshold_charge rmse_threshold_energy
    rmse_threshold_force rmse_threshold_trials rmse_threshold_trials_charge rmse_threshold_trials_energy
    rmse_threshold_trials_force runner_mode save_kalman_matrices selection_mode selection_mode_charge
    selection_mode_energy selection_mode_force separate_bias_ini_short separate_kalman_short
    short_energy_error_threshold short_energy_fraction short_energy_group short_force_error_threshold
    short_force_fraction short_force_group symfunction_correlation task_batch_size_charge task_batch_size_energy
    task_batch_size_force test_fraction update_single_element update_strategy updater_type use_atom_energies
    use_noisematrix use_old_weights_charge use_old_weights_short use_short_forces use_short_nn
    use_systematic_weights_short weight_analysis weights_max weights_min write_neuronstats write_pdb write_pov
    write_pwscf write_symfunctions write_temporary_weights write_traincharges write_trainforces write_trainlog
    write_trainpoints write_unformatted write_weights_epoch write_xyz
    """
)
ALIASES = {  # other names that versions of n2p2 know
    "symfunction": "symfunction_short",
    "nn_type": "nnp_type",
    "nnp_gen": "nnp_type",
    "nnp_generation": "nnp_type",
    "nnp_type_gen": "nnp_type",
}
SUPPORTED_VALUES = {  # of keywords that choose between kinds of potentials
    "nnp_type": ("2g-hdnnp", "2", "0"),  # 0 up to n2p2 2.1
    "nn_type_short": ("1",),
}


@dataclass(frozen=True)
class Entry:
    """A keyword with its values, and where it stands."""

    path: Path
    line: int
    keyword: str
    values: tuple[str, ...]

    def error(self, message: str) -> ValueError:
        """A ValueError that names file, line and keyword."""
        return ValueError(f"{self.path}, line {self.line}: `{self.keyword}` {message}")

    def expect(self, least: int, most: int | None = None) -> Entry:
        """The entry itself; ValueError unless it has that many values."""
        most = least if most is None else most
        if not least <= len(self.values) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise self.error(f"must have {wanted} values, got {len(self.values)}: {' '.join(self.values)!r}")
        return self

    def number(self, index: int = 0) -> float:
        """One of the values as a finite number."""
        try:
            number = float(self.values[index].replace("d", "e").replace("D", "E"))  # Fortran's exponents
        except ValueError as error:
            raise self.error(f"must have a number as value {index + 1}, got {self.values[index]!r}") from error
        if not math.isfinite(number):
            raise self.error(f"must have finite values, got {self.values[index]!r}")
        return number

    def integer(self, index: int = 0) -> int:
        """One of the values as a whole number."""
        try:
            return int(self.values[index])
        except ValueError as error:
            raise self.error(f"must have a whole number as value {index + 1}, got {self.values[index]!r}") from error


@dataclass(frozen=True)
class Settings:
    """The keywords of an input.nn that a prediction depends on."""

    path: Path
    entries: dict[str, tuple[Entry, ...]]

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.entries

    def get(self, keyword: str) -> Entry | None:
        """A keyword that may stand once."""
        return self.entries[keyword][0] if keyword in self.entries else None

    def need(self, keyword: str) -> Entry:
        """A keyword that must stand once."""
        if keyword not in self.entries:
            raise ValueError(f"{self.path} must hold the keyword `{keyword}`, which is missing")
        return self.entries[keyword][0]

    def all(self, keyword: str) -> tuple[Entry, ...]:
        """A keyword that may stand any number of times, in the order of the file."""
        return self.entries.get(keyword, ())


def read_settings(path: Path) -> Settings:
    """Read an input.nn.

    Raises:
        ValueError: no such file, unknown keywords, keywords that ask for something else than a short-range potential
            of atomic networks, the same keyword twice where it matters; the message names file, line and keyword.
    """
    entries: dict[str, list[Entry]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        word, *values = line.split("#")[0].split("!")[0].split() or [""]
        if not word or word in IGNORED:
            continue
        entry = Entry(path, number, word, tuple(values))
        keyword = ALIASES.get(word, word)
        if keyword not in ONCE | OFTEN:
            raise entry.error("is not supported: it is unknown, or asks for something that the library does not have")
        if keyword in entries and keyword not in OFTEN:
            raise entry.error(f"must stand once, but stands in line {entries[keyword][0].line} already")
        supported = SUPPORTED_VALUES.get(keyword)
        if supported is not None and entry.expect(1).values[0].lower() not in supported:
            raise entry.error(f"must be {' or '.join(supported)}, other kinds are not supported, got {values[0]!r}")
        entries.setdefault(keyword, []).append(entry)
    return Settings(path, {keyword: tuple(found) for keyword, found in entries.items()})


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, whose comments may be in any encoding; ValueError where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist") from error
    except OSError as error:
        raise ValueError(f"{path} could not be read: {error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return re.split(r"\r\n|\n|\r", text.rstrip("\r\n"))
