import pytest

from dim_tf import stages
from dim_tf.experiment import Experiment


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "estimator jsd; beta 1, gamma 0.1"),
        (
            {"alpha": 0.5, "coordinates": 2.0, "occlusion": True, "views": 2},
            "estimator jsd; alpha 0.5, beta 1, gamma 0.1, coordinates 2, occlusion, two views",
        ),
        (
            {
                "model": "amdim",
                "scales": "global-global",
                "coordinates": 1.0,
                "critic_temperature": 0.2,
            },
            "amdim, scales global-global, coordinates 1, critic_temperature 0.2",
        ),
        ({"model": "beta_vae"}, "beta_vae, kl_weight 4"),
        ({"model": "simclr"}, "simclr, temperature 0.5"),
        ({"model": "aae"}, "aae, gamma 0.1"),
        ({"model": "vae", "gamma": 0.3}, "vae"),
        ({"model": "simclr", "coordinates": 1.0}, "simclr, temperature 0.5"),
        (
            {"gamma": 0.0, "relative_coordinates": 0.5},
            "estimator jsd; beta 1, relative_coordinates 0.5",
        ),
        ({"model": "generator"}, "generator"),
    ],
)
def test_the_card_tells_what_makes_the_objective(settings, told):
    assert stages._objective(Experiment(name="a", **settings)) == told
