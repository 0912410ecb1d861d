"""Anomalies: pictures that a generator of normal images cannot reproduce (AnoGAN, f-AnoGAN)."""
