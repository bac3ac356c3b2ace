"""Many runs, looking for a failure: plans are drawn, runs are forked off an image, failures confirmed and kept.

This package door stays empty: the image imports `wavetank.campaign.image`, and must load nothing else by that.
"""
