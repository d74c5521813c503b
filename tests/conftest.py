"""What all tests share."""

from hypothesis import HealthCheck, settings

# How long something takes says nothing here: two cores are shared with servers that other tests have started.
settings.register_profile("everthread", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("everthread")
