"""`make scale-workers N=8 ENV=prod [POOL=reports]`: how many workers a pool on Kubernetes has.

Where an autoscaler rules the pool, its minimum moves; else the Deployment's number. Idle workers go
first. Nothing but the standard library and kubectl.
"""
